"""Packs of steering vectors: their layout on disk, their names, and where they are fetched from.

Lazy (PEP 562) and free of torch: a name imports its module only when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import card_text
    from .errors import PackError, PackMismatchError, PackNotFoundError, RasExtError
    from .fingerprint import BaseModel, Difference, compare, describe_config
    from .hub import fetch, publish
    from .names import Alias, Located, aliases, locate, open_pack
    from .pack import Pack, PackReport, content_sha256, read_pack, verify_pack, write_pack
    from .schema import SCHEMA_VERSION, installed_version, validate
    from .swap import check_target
    from .tensors import RawTensor

_HOME = {
    "SCHEMA_VERSION": "schema",
    "Alias": "names",
    "BaseModel": "fingerprint",
    "Difference": "fingerprint",
    "Located": "names",
    "Pack": "pack",
    "PackError": "errors",
    "PackMismatchError": "errors",
    "PackNotFoundError": "errors",
    "PackReport": "pack",
    "RasExtError": "errors",
    "RawTensor": "tensors",
    "aliases": "names",
    "card_text": "card",
    "check_target": "swap",
    "compare": "fingerprint",
    "content_sha256": "pack",
    "fetch": "hub",
    "describe_config": "fingerprint",
    "installed_version": "schema",
    "locate": "names",
    "open_pack": "names",
    "publish": "hub",
    "read_pack": "pack",
    "validate": "schema",
    "verify_pack": "pack",
    "write_pack": "pack",
}

__all__ = [
    "SCHEMA_VERSION",
    "Alias",
    "BaseModel",
    "Difference",
    "Located",
    "Pack",
    "PackError",
    "PackMismatchError",
    "PackNotFoundError",
    "PackReport",
    "RasExtError",
    "RawTensor",
    "aliases",
    "card_text",
    "check_target",
    "compare",
    "content_sha256",
    "describe_config",
    "fetch",
    "installed_version",
    "locate",
    "open_pack",
    "publish",
    "read_pack",
    "validate",
    "verify_pack",
    "write_pack",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
