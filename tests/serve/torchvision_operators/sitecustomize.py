"""Lets torchvision be imported where its compiled half does not fit torch: only its Python half is used by vLLM.

On the path of the tests of vLLM alone. The CPU build of torch has no matching torchvision package, and torchvision
describes three operators on import that must have been defined by then.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
_kept: list[Any] = []  # a library's operators go when it does


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; defines the operators when torchvision is first looked for."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in SCHEMAS:
                library.define(schema)
            _kept.append(library)


sys.meta_path.insert(0, _BeforeTorchvision())
