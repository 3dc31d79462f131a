"""The error classes of the project, rooted in :class:`RasExtError`.

They live on the lowest floor so that the registry can raise them without the runtime.
"""

from __future__ import annotations


class RasExtError(Exception):
    """Root of every error that ras_ext raises on purpose; its message says what to do."""


class PackError(RasExtError):
    """A pack is damaged, incomplete or unsafe to read."""


class PackMismatchError(PackError):
    """A pack was made for another model than the one it is used with; ``fields`` names where they differ."""

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, fields)
        self.fields = fields

    def __str__(self) -> str:
        return str(self.args[0])


class PackNotFoundError(PackError):
    """No pack stands under the given name, folder or revision."""
