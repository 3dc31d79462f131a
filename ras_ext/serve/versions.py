"""Which vLLM the defence has been run in; another is refused: a logits processor nobody calls steers nothing."""

from __future__ import annotations

from ras_ext.errors import MissingExtraError, ModelError

SUPPORTED = ((0, 32), (0, 33))  # from the first on, below the second


def check_vllm() -> str:
    """vLLM's version. Raises MissingExtraError without vLLM, ModelError for one that is not supported."""
    try:
        from vllm.version import __version__
    except ImportError:
        raise MissingExtraError("serving needs vLLM; install it with: pip install 'ras-ext[serve]'") from None
    check(__version__)
    return str(__version__)


def check(version: str) -> None:
    """Raises ModelError for a version outside of the range."""
    try:
        found = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        found = (0, 0)
    if not SUPPORTED[0] <= found < SUPPORTED[1]:
        first, below = (".".join(map(str, bound)) for bound in SUPPORTED)
        raise ModelError(f"vLLM {version} is not supported; the defence runs in vLLM from {first} to below {below}")
