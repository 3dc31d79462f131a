"""What a worker can be asked: to take packs in, and what it holds and has done (vLLM's ``worker_extension_cls``).

Answers are plain values: they cross processes, and machines under Ray.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ras_ext
from ras_ext import compiled
from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.processor import Processor
from ras_ext.serve.engine.state_carrier import SteeredHead, mixes_exactly

NAME = f"{__name__}.Extension"


class Extension:
    """Mixed into vLLM's worker class, whose `model_runner` it uses."""

    model_runner: Any

    def ras_load(self, packs: list[bytes], carrier: str, version: str) -> dict[str, Any]:
        """Takes packs in, under ``carrier`` ``"auto"``, ``"logits"`` or ``"state"``; what :meth:`ras_status` says.

        `version` is the server's: under data parallelism it hears of other engines only what they raise.
        """
        if version != ras_ext.__version__:
            raise ValueError(f"this worker runs ras_ext {ras_ext.__version__}, the server {version}; install one")
        processor = _processor(self.model_runner)
        model = self.model_runner.get_model()
        head = model.compute_logits if _samples() else None
        if isinstance(head, SteeredHead):
            head = head._head
        dtype = self.model_runner.model_config.dtype
        table = processor.acting.table
        if head is not None:
            states = Packed.from_bytes(packs[0]).prototypes.to(table.device, dtype)
            exact = mixes_exactly(head, states)
            if carrier == "logits" and not exact:
                raise ValueError("the model's head caps its logits, where mixing them is not exact; use carrier state")
            if not table.packs:
                processor.carrier = "logits" if carrier != "state" and exact else "state"
            if processor.carrier == "state" and not isinstance(model.compute_logits, SteeredHead):
                if not hasattr(self.model_runner, "input_batch"):
                    raise ValueError("the state carrier acts on vLLM's runner V1 only; set VLLM_USE_V2_MODEL_RUNNER=0")
                model.compute_logits = SteeredHead(head, processor)
        for data in packs:
            table.add(data, head, dtype, processor.carrier)
        return self.ras_status()

    def ras_status(self) -> dict[str, Any]:
        """Versions, runner, carrier, the packs with their digests, and counts since the start."""
        processor = _processor(self.model_runner)
        table = processor.acting.table
        return {
            "ras_ext": ras_ext.__version__,
            "compiled": bool(compiled.load().cpu_ops),
            "runner": "V1" if hasattr(self.model_runner, "input_batch") else "V2",
            "samples": _samples(),
            "carrier": processor.carrier,
            "vocab_size": table.vocab_size,
            "packs": dict(table.digests),
            "steered_tokens": dict(table.steered_tokens),
            "counts": dataclasses.asdict(processor.acting.counts),
        }


def _samples() -> bool:
    """Whether this worker has the head; under pipeline parallelism only those of the last stage do."""
    from vllm.distributed.parallel_state import get_pp_group

    return bool(get_pp_group().is_last_rank)


def _processor(runner: Any) -> Processor:
    """Our processor in the runner. Raises RuntimeError if it is not there, or could not see whole rows."""
    if hasattr(runner, "input_batch"):
        found = list(runner.input_batch.logitsprocs.all)
    else:
        found = list(getattr(getattr(runner, "sampler", None), "logits_processors", ()))
        if getattr(runner, "batch_sharder", None) is not None:
            raise RuntimeError(
                "sampling is sharded over the batch, where a request's rows change workers; switch it off"
            )
    ours = [one for one in found if isinstance(one, Processor)]
    if len(ours) != 1:
        raise RuntimeError(f"the engine has {len(ours)} of the defence's logits processors and needs one")
    return ours[0]
