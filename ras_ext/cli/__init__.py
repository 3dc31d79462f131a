"""The command line ``ras-ext``. Commands load torch when they run, so that help is quick and works without it."""

from __future__ import annotations

from ras_ext.cli.app import main

__all__ = ["main"]
