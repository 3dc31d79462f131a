"""Any error as one sentence for a person: what went wrong and what to do, on a terminal or a page."""

from __future__ import annotations

from ras_ext.registry.errors import RasExtError

TRACEBACK_VARIABLE = "RAS_EXT_TRACEBACK"


def sentence(error: BaseException, *, smaller: str = "work on fewer requests at a time") -> str:
    """One printable line. Errors raised on purpose say it themselves; the rest is put into words here.

    `smaller` is what helps here where memory was too small.
    """
    said = " ".join(str(error).split())
    if isinstance(error, RasExtError):
        return said
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "not enough memory" in said:
        return f"out of memory ({said[:200]}); {smaller}, or take a smaller dtype"
    if isinstance(error, OSError):
        return f"{said}; check the path, its permissions and the space on the disk"
    return (
        f"{type(error).__name__}: {said[:300]}; this is a fault of ras-ext or of the model's files, "
        f"set {TRACEBACK_VARIABLE}=1 to see where"
    )
