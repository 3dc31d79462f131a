"""Packs of steering vectors: their layout on disk, their names, where they are fetched from, and whom to trust.

Lazy (PEP 562) and free of torch: a name imports its module only when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import card_text
    from .difference import PackDiff, diff_packs
    from .errors import (
        MissingExtraError,
        PackError,
        PackMismatchError,
        PackNotFoundError,
        RasExtError,
        RegistryError,
        SignatureError,
    )
    from .evidence import ScoredQuery, Stretch, encode_similarities, read_similarities, threshold_curve
    from .fingerprint import BaseModel, Difference, compare, describe_config
    from .folder import FolderRegistry
    from .interchange import (
        Direction,
        direction_of,
        import_direction,
        read_direction,
        read_gguf,
        read_safetensors,
        write_gguf,
        write_safetensors,
    )
    from .listing import history, list_packs, search
    from .lock import LOCK_FILE, Locked, read_lock, write_lock
    from .names import Alias, Reference, aliases, parse
    from .pack import Pack, PackReport, content_sha256, read_pack, verify_pack, write_pack
    from .pinning import check_pins, pin
    from .publishing import pull, push
    from .resolve import Opened, keep_made_here, locate, open_pack
    from .schema import SCHEMA_VERSION, installed_version, validate
    from .source import Source
    from .swap import check_target
    from .tensors import RawTensor
    from .trust import check_signature, make_key_pair, read_trust, requirement_for, sign
    from .verification import Verified, verify
    from .versions import Found, Published, Version

_HOME = {
    "Alias": "names",
    "BaseModel": "fingerprint",
    "Difference": "fingerprint",
    "Direction": "interchange",
    "FolderRegistry": "folder",
    "Found": "versions",
    "LOCK_FILE": "lock",
    "Locked": "lock",
    "MissingExtraError": "errors",
    "Opened": "resolve",
    "Pack": "pack",
    "PackDiff": "difference",
    "PackError": "errors",
    "PackMismatchError": "errors",
    "PackNotFoundError": "errors",
    "PackReport": "pack",
    "Published": "versions",
    "RasExtError": "errors",
    "RawTensor": "tensors",
    "Reference": "names",
    "RegistryError": "errors",
    "SCHEMA_VERSION": "schema",
    "ScoredQuery": "evidence",
    "SignatureError": "errors",
    "Source": "source",
    "Stretch": "evidence",
    "Verified": "verification",
    "Version": "versions",
    "aliases": "names",
    "card_text": "card",
    "check_pins": "pinning",
    "check_signature": "trust",
    "check_target": "swap",
    "compare": "fingerprint",
    "content_sha256": "pack",
    "describe_config": "fingerprint",
    "diff_packs": "difference",
    "direction_of": "interchange",
    "encode_similarities": "evidence",
    "history": "listing",
    "import_direction": "interchange",
    "installed_version": "schema",
    "keep_made_here": "resolve",
    "list_packs": "listing",
    "locate": "resolve",
    "make_key_pair": "trust",
    "open_pack": "resolve",
    "parse": "names",
    "pin": "pinning",
    "pull": "publishing",
    "push": "publishing",
    "read_direction": "interchange",
    "read_gguf": "interchange",
    "read_lock": "lock",
    "read_pack": "pack",
    "read_safetensors": "interchange",
    "read_similarities": "evidence",
    "read_trust": "trust",
    "requirement_for": "trust",
    "search": "listing",
    "sign": "trust",
    "threshold_curve": "evidence",
    "validate": "schema",
    "verify": "verification",
    "verify_pack": "pack",
    "write_gguf": "interchange",
    "write_lock": "lock",
    "write_pack": "pack",
    "write_safetensors": "interchange",
}

__all__ = [
    "LOCK_FILE",
    "SCHEMA_VERSION",
    "Alias",
    "BaseModel",
    "Difference",
    "Direction",
    "FolderRegistry",
    "Found",
    "Locked",
    "MissingExtraError",
    "Opened",
    "Pack",
    "PackDiff",
    "PackError",
    "PackMismatchError",
    "PackNotFoundError",
    "PackReport",
    "Published",
    "RasExtError",
    "RawTensor",
    "Reference",
    "RegistryError",
    "ScoredQuery",
    "SignatureError",
    "Source",
    "Stretch",
    "Verified",
    "Version",
    "aliases",
    "card_text",
    "check_pins",
    "check_signature",
    "check_target",
    "compare",
    "content_sha256",
    "describe_config",
    "diff_packs",
    "direction_of",
    "encode_similarities",
    "history",
    "import_direction",
    "installed_version",
    "keep_made_here",
    "list_packs",
    "locate",
    "make_key_pair",
    "open_pack",
    "parse",
    "pin",
    "pull",
    "push",
    "read_direction",
    "read_gguf",
    "read_lock",
    "read_pack",
    "read_safetensors",
    "read_similarities",
    "read_trust",
    "requirement_for",
    "search",
    "sign",
    "threshold_curve",
    "validate",
    "verify",
    "verify_pack",
    "write_gguf",
    "write_lock",
    "write_pack",
    "write_safetensors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
