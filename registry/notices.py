"""Remarks for the person who runs the process: one line on stderr, each said once.

They go through the logger ``ras_ext.registry``, so that a program can silence or redirect them.
"""

from __future__ import annotations

import logging

_LOGGER = logging.getLogger("ras_ext.registry")
_said: set[str] = set()


def say_once(line: str) -> None:
    """Say ``line`` unless this process has said it before."""
    if line not in _said:
        _said.add(line)
        _LOGGER.warning("ras_ext: %s", line)
