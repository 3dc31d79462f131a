"""The errors a user of the runtime meets; the pack errors come from the registry."""

from __future__ import annotations

from ras_ext.registry.errors import (
    MissingExtraError,
    PackError,
    PackMismatchError,
    PackNotFoundError,
    RasExtError,
    RegistryError,
    SignatureError,
)

__all__ = [
    "CalibrationError",
    "CompiledLibraryError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "PackError",
    "PackMismatchError",
    "PackNotFoundError",
    "RasExtError",
    "RegistryError",
    "SignatureError",
    "UndefendedError",
]


class ModelError(RasExtError):
    """The model's family is not supported, or a part the defence needs was not found in it."""


class UndefendedError(ModelError):
    """The defence was asked to act in an engine and did not."""


class InputError(RasExtError):
    """A request, file or setting cannot be used as given."""


class CalibrationError(RasExtError):
    """The model cannot be calibrated on the given queries."""


class CompiledLibraryError(RasExtError):
    """The compiled library is required and cannot be loaded."""
