"""Whether a compiled library is whole: mapping one that is cut short would end the process with a bus error."""

from __future__ import annotations

import struct
from pathlib import Path


def truncated(path: Path) -> bool:
    """Whether an ELF file ends before its last table."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[:4] != b"\x7fELF":
        return len(head) < 64
    if len(head) < 64 or head[4] != 2:  # 32-bit files have another layout; the loader judges those
        return len(head) < 64
    order = "<" if head[5] == 1 else ">"
    (sections,) = struct.unpack_from(f"{order}Q", head, 40)
    size, count = struct.unpack_from(f"{order}HH", head, 58)
    return path.stat().st_size < sections + size * count
