"""Tab, not built yet."""

from __future__ import annotations

from ras_ext.studio.studio import Studio


def build(studio: Studio) -> None:
    """Builds the tab."""
