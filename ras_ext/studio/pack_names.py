"""What a visitor may write as the name of a pack: a name, never a place on this machine."""

from __future__ import annotations

import re

from ras_ext.errors import InputError
from ras_ext.registry.address import NAME

_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def checked_name(text: str | None) -> tuple[str, str | None]:
    """(name, revision) of ``name`` or ``owner/name``, with ``@revision`` behind it or not.

    Raises InputError for all else: a path, an address, or what the registry would take for one.
    """
    written = (text or "").strip()
    name, at, revision = written.partition("@")
    good = NAME.fullmatch(name) is not None and (not at or _REVISION.fullmatch(revision) is not None)
    if not good or ".." in written or "--" in name:
        shown = repr(written[:80]) if written else "nothing"
        raise InputError(
            f"a pack is named owner/name or name, with @v2 behind it for a version; got {shown}, and paths and "
            "addresses are not taken here"
        )
    return name, revision if at else None
