"""Where things are kept on this machine, read from the environment at each call and without the Hub's client.

RAS_EXT_HOME   what ras_ext keeps: verified copies, packs made here, the user's aliases and trust file;
               default $HF_HOME/ras_ext
HF_HOME        as the Hub's client reads it; default $XDG_CACHE_HOME/huggingface
"""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "RAS_EXT_HOME"
_TRUE = {"1", "ON", "YES", "TRUE"}


def home(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that ras_ext keeps its packs in; beside the files of the Hub's client if those go to ``cache_dir``."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser() / "ras_ext"
    own = os.environ.get(HOME_VARIABLE)
    if own:
        return _path(own)
    hugging_face = os.environ.get("HF_HOME")
    if hugging_face:
        return _path(hugging_face) / "ras_ext"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _path(cache) / "huggingface" / "ras_ext"


def offline() -> bool:
    """True if the environment forbids asking the Hub (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    asked = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return asked.upper() in _TRUE


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
