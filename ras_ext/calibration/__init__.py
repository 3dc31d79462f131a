"""Makes steering vectors for a model from forward passes alone: prototypes, baseline, slope, schedule."""

from __future__ import annotations

from ras_ext.calibration.regions import with_regions
from ras_ext.calibration.run import calibrate

__all__ = ["calibrate", "with_regions"]
