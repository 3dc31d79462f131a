"""The artefact of the method: what calibration finds out about one model, and what the guard needs to defend it.

Stands between calibration, the packs of the registry and the stages; r = σ(α (S − S_base)) turns a similarity into
a risk (arXiv 2510.13698).
"""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import torch

from ras_ext.base_model import bare_model, describe_model, quantization_of
from ras_ext.errors import InputError, PackError, PackMismatchError
from ras_ext.prompts import DEFAULT_PROMPTS, Prompts
from ras_ext.registry.fingerprint import BaseModel, Difference, compare
from ras_ext.registry.measured import KEY, measured
from ras_ext.registry.pack import Pack, content_sha256, write_pack
from ras_ext.registry.publishing import push
from ras_ext.registry.schema import SCHEMA_VERSION, installed_version, validate
from ras_ext.registry.tensors import OPTIONAL, REQUIRED, RawTensor, check_shapes
from ras_ext.registry.versions import Published
from ras_ext.schedule import Schedule

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Without equal sizes, and without the module that is steered, the vectors cannot be applied at all.
NEVER_ALLOWED = ("hidden_size", "vocab_size", "final_norm")


@dataclass(frozen=True, eq=False)
class SteeringVectors:
    """Prototypes, thresholds, prompts and provenance for one model; checked when made, PackError if anything is off.

    ``prototypes`` (N, D) are mean states after the final norm, N at least the longest schedule; ``prototype_mixture``
    (V) is Σ_n γ^(n−1) softmax(W μ^n) over the ``n_score`` scored tokens; ``safe_prototypes`` (N, D),
    ``unsafe_direction`` (D) and ``center`` (D) serve the evidence from attention. All f32, bf16 or f16.
    ``evidence_files`` go into the pack by name, ``license`` is the pack's as the Hub writes it (``apache-2.0``).
    ``digest`` is the sha256 of the ras_config.json they were loaded from or saved to; a changed copy has none, unless
    only the choice among the stored schedules, the device or the dtype changed.
    """

    name: str
    base_model: BaseModel
    prototypes: torch.Tensor
    prototype_mixture: torch.Tensor
    gamma: float
    alpha: float
    s_base: float
    prompts: Prompts = DEFAULT_PROMPTS
    schedules: Mapping[str, Schedule] = field(default_factory=lambda: {"paper": Schedule.paper()})
    schedule: str = "paper"
    n_score: int = 3
    safe_prototypes: torch.Tensor | None = None
    unsafe_direction: torch.Tensor | None = None
    center: torch.Tensor | None = None
    attention_heads: tuple[tuple[int, int], ...] = ()
    token_risk: Mapping[str, float] | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    evidence_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    license: str | None = None
    digest: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name in (*REQUIRED, *OPTIONAL):
            tensor = getattr(self, name)
            if tensor is not None:
                _check_tensor(name, tensor)
                object.__setattr__(self, name, tensor.detach())
        if self.schedule not in self.schedules:
            known = ", ".join(sorted(self.schedules)) or "none"
            raise PackError(f"there is no schedule {self.schedule!r} in {self.name}; its schedules are: {known}")
        config = self.to_config()
        validate(config, with_files=False)
        check_shapes({name: tuple(tensor.shape) for name, tensor in self.tensors().items()}, config)
        if float(self.prototype_mixture.min()) < 0.0 or float(self.prototype_mixture.max()) == 0.0:
            raise PackError("prototype_mixture must be a mixture of probabilities, none negative and not all zero")

    @property
    def n_tokens(self) -> int:
        """The number of steered tokens in the chosen schedule."""
        return self.schedules[self.schedule].n_tokens

    @property
    def doses(self) -> tuple[float, ...]:
        """The multiplier of the risk at each steered token in the chosen schedule."""
        return self.schedules[self.schedule].doses

    @cached_property
    def content_sha256(self) -> str:
        """The sha256 (hex) of what decides the outcome; known before saving and the same after loading."""
        return content_sha256(self.to_config(), {name: raw.sha256 for name, raw in self._raw_tensors().items()})

    @property
    def id(self) -> str:
        """The name with the first eight digits of :attr:`content_sha256`, for receipts."""
        return f"{self.name}@{self.content_sha256[:8]}"

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors that are set, by name."""
        found = {name: getattr(self, name) for name in (*REQUIRED, *OPTIONAL)}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    @overload
    def risk(self, similarity: float) -> float: ...
    @overload
    def risk(self, similarity: torch.Tensor) -> torch.Tensor: ...
    def risk(self, similarity: float | torch.Tensor) -> float | torch.Tensor:
        """r = σ(α (S − S_base)) in (0, 1), of a number or elementwise in at least f32."""
        if isinstance(similarity, torch.Tensor):
            wide = similarity if similarity.dtype == torch.float64 else similarity.float()
            return torch.sigmoid(self.alpha * (wide - self.s_base))
        return 0.5 * (1.0 + math.tanh(0.5 * self.alpha * (similarity - self.s_base)))

    def with_schedule(self, schedule: str | Schedule) -> SteeringVectors:
        """The same vectors under a stored schedule, or under one of the caller's own, kept as ``custom``."""
        if isinstance(schedule, Schedule):
            return replace(self, schedules={**self.schedules, "custom": schedule}, schedule="custom")
        return self._same_content(replace(self, schedule=schedule))

    def with_prompts(self, prompts: Prompts | Mapping[str, Any]) -> SteeringVectors:
        """The same vectors with other prompts; a mapping changes only the fields it names."""
        if not isinstance(prompts, Prompts):
            prompts = Prompts.from_dict({**self.prompts.to_dict(), **prompts})
        return replace(self, prompts=prompts)

    def with_evidence(self, report: Mapping[str, Any], *, data: str | None = None) -> SteeringVectors:
        """The same vectors with the table of an evaluation, in place of an earlier one; the id stays what it is.

        ``report`` is ``Report.to_dict()``, ``data`` what the card is to call the data set. Raises PackError if it is no
        such report, or one of other vectors.
        """
        found = measured(report, data)
        if found["vectors"].rpartition("@")[2] != self.content_sha256[:8]:
            raise PackError(
                f"the report measured {found['vectors'][:120]}, these are {self.id}; evaluate these vectors"
            )
        changed = replace(self, evidence={**self.evidence, KEY: found})
        changed.__dict__["content_sha256"] = self.content_sha256
        return changed

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SteeringVectors:
        """A copy on another device or in another dtype. It keeps the id: it stands for the same calibration."""
        moved: dict[str, Any] = {name: tensor.to(device=device, dtype=dtype) for name, tensor in self.tensors().items()}
        return self._same_content(replace(self, **moved))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the pack to ``folder``, replacing a pack that stands there in one step. Raises PackError.

        Where the similarities of the calibration are among the evidence, their plots are drawn into it.
        """
        pack = write_pack(folder, self.to_config(), self._raw_tensors(), self.evidence_files)
        object.__setattr__(self, "digest", pack.digest)
        return pack.path

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | bool | None = None,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        create_pr: bool = False,
        parent_commit: str | None = None,
        tag: bool = True,
        sign_key: str | os.PathLike[str] | None = None,
        dry_run: bool = False,
    ) -> Published:
        """Publish the pack as the model repository ``repo_id`` (or in a folder registry), options as in the registry.

        One atomic commit, then the next of the tags ``v1``, ``v2``, …. Raises PackError and its kind.
        """
        with tempfile.TemporaryDirectory() as scratch:
            return push(
                self.save(Path(scratch) / "pack"),
                repo_id,
                token=token,
                private=private,
                branch=revision,
                message=commit_message,
                create_pr=create_pr,
                parent_commit=parent_commit,
                tag=tag,
                sign_key=sign_key,
                dry_run=dry_run,
            )

    def check(self, model: Any, processor: Any = None, allow_mismatch: Sequence[str] = ()) -> None:
        """Raise PackMismatchError, listing every differing field, unless the vectors were made for ``model``.

        Weights quantised otherwise than those that were calibrated are the same model: that is warned of, not refused.
        Fields named in ``allow_mismatch`` may differ, except sizes and the final norm. Without ``processor`` the chat
        template is not compared. Raises InputError for a name that is no field.
        """
        for name in allow_mismatch:
            if name not in BaseModel.__dataclass_fields__ or name in NEVER_ALLOWED:
                allowed = ", ".join(sorted(set(BaseModel.__dataclass_fields__) - set(NEVER_ALLOWED)))
                raise InputError(f"allow_mismatch cannot name {name!r}; it may name {allowed}")
        found = describe_model(model, processor, final_norm=self.base_model.final_norm)
        differences = [entry for entry in compare(self.base_model, found) if entry.field not in allow_mismatch]
        if not _has_module(bare_model(model), self.base_model.final_norm):
            differences.append(Difference("final_norm", self.base_model.final_norm, "no such module"))
        if differences:
            listed = ", ".join(str(entry) for entry in differences)
            raise PackMismatchError(
                f"the vectors {self.name!r} were made for {self.base_model.id}, not for this model ({listed}); "
                "calibrate this model with `ras-ext calibrate`, or name harmless fields in allow_mismatch",
                tuple(entry.field for entry in differences),
            )
        here, there = quantization_of(model), self.calibration.get("quantization")
        if here != there:
            warnings.warn(
                f"the vectors {self.name!r} were calibrated on {_weights(there)} and this model has {_weights(here)}: "
                "scores shift a little against their threshold; calibrate this model for its own",
                stacklevel=3,
            )

    def to_config(self) -> dict[str, Any]:
        """The ``ras_config.json`` of these vectors, without ``files``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "ras_ext_version": installed_version(),
            "name": self.name,
            "license": self.license,
            "base_model": self.base_model.to_dict(),
            "method": {
                "n_tokens": self.n_tokens,
                "n_score": self.n_score,
                "gamma": self.gamma,
                "alpha": self.alpha,
                "s_base": self.s_base,
                "schedule": self.schedule,
                "schedules": {name: entry.to_dict() for name, entry in self.schedules.items()},
                "steer_layer": None,
                "attention_heads": [list(pair) for pair in self.attention_heads],
                "token_risk": None if self.token_risk is None else dict(self.token_risk),
            },
            "prompts": self.prompts.to_dict(),
            "calibration": dict(self.calibration),
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_pack(cls, pack: Pack) -> SteeringVectors:
        """The vectors of a pack that was read, on the CPU, in the dtypes they were stored in."""
        config, method = pack.config, pack.config["method"]
        tensors: dict[str, Any] = {name: _from_raw(raw) for name, raw in pack.tensors.items()}
        vectors = cls(
            name=config["name"],
            base_model=BaseModel.from_dict(config["base_model"]),
            gamma=float(method["gamma"]),
            alpha=float(method["alpha"]),
            s_base=float(method["s_base"]),
            prompts=Prompts.from_dict(config["prompts"]),
            schedules={name: Schedule.from_dict(entry) for name, entry in method["schedules"].items()},
            schedule=method["schedule"],
            n_score=method["n_score"],
            attention_heads=tuple((layer, head) for layer, head in method["attention_heads"]),
            token_risk=method["token_risk"],
            calibration=config["calibration"],
            evidence=config["evidence"],
            license=config["license"],
            evidence_files={name: data for name, data in pack.files.items() if name.startswith("evidence/")},
            **tensors,
        )
        object.__setattr__(vectors, "digest", pack.digest)
        return vectors

    def _raw_tensors(self) -> dict[str, RawTensor]:
        return {name: _to_raw(tensor) for name, tensor in self.tensors().items()}

    def _same_content(self, other: SteeringVectors) -> SteeringVectors:
        object.__setattr__(other, "digest", self.digest)
        other.__dict__["content_sha256"] = self.content_sha256
        return other


def _check_tensor(name: str, tensor: Any) -> None:
    if not isinstance(tensor, torch.Tensor) or tensor.dtype not in _DTYPE_NAMES:
        kind = tensor.dtype if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise PackError(f"{name} must be a float32, bfloat16 or float16 tensor, got: {kind}; convert it")
    if not bool(torch.isfinite(tensor).all()):
        raise PackError(f"{name} must be finite, got: inf or NaN among its entries; calibrate the model again")


def _to_raw(tensor: torch.Tensor) -> RawTensor:
    data = tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return RawTensor(_DTYPE_NAMES[tensor.dtype], tuple(tensor.shape), data)


def _from_raw(raw: RawTensor) -> torch.Tensor:
    return torch.frombuffer(bytearray(raw.data), dtype=DTYPES[raw.dtype]).reshape(raw.shape)


def _weights(quantization: Any) -> str:
    return "weights that are not quantised" if quantization is None else f"{quantization} weights"


def _has_module(model: torch.nn.Module, path: str) -> bool:
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True
