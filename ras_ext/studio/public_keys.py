"""Public keys that visitors send to have a signature checked with."""

from __future__ import annotations

from pathlib import Path

from ras_ext.errors import InputError

_MOST = 64 << 10  # bytes


def read_public_key(file: Path) -> str:
    """The PEM text of a public key. Raises InputError for anything else, above all for a private key."""
    if (size := file.stat().st_size) > _MOST:
        raise InputError(f"{file.name!r} has {size:,} bytes, which no public key has; send the publisher's .pub file")
    text = file.read_bytes().decode("utf-8", "replace")
    if "PRIVATE KEY-----" in text:
        raise InputError(
            f"{file.name!r} holds a private key, which nobody should be sent; it was deleted here, send the .pub file"
        )
    if "-----BEGIN PUBLIC KEY-----" not in text:
        raise InputError(f"{file.name!r} is no public key in PEM; send the publisher's .pub file")
    return text
