"""Addresses of folder registries, and of packs inside them: directories and URLs, as people write them."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from .paths import expanded

MARKER = "ras_registry.json"
NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,95}/){0,1}[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def normal_url(url: str | os.PathLike[str]) -> str:
    """A directory as ``file://`` with its absolute path, a URL without its last slash."""
    text = os.fspath(url)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
    if "://" not in text:
        return "file://" + str(expanded(text).resolve())
    return text.rstrip("/")


def local_target(text: str) -> bool:
    """True if a text can only be a directory: it looks like a path, or a registry lies there."""
    if not text:
        return False
    path = expanded(text)
    return text.startswith((".", "/", "~", "\\")) or path.is_absolute() or (path / MARKER).is_file()


def split_url(url: str) -> tuple[str, str]:
    """(registry, name) of an address inside a registry; the name is empty for the registry itself.

    Where no registry lies on the way up, the address is taken for one that is yet to be made.
    """
    from .folder import FolderRegistry  # which knows addresses itself

    whole = normal_url(url)
    scheme, _, path = whole.partition("://")
    parts = path.split("/")
    for cut in range(len(parts), max(len(parts) - 3, 0), -1):
        head, tail = f"{scheme}://{'/'.join(parts[:cut])}", "/".join(parts[cut:])
        if (not tail or NAME.fullmatch(tail)) and path and FolderRegistry(head).exists():
            return head, tail
    return whole, ""
