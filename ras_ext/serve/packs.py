"""The packs that an engine is started with: resolved by name, held against the model, sent to every worker.

They are fetched once, here, and travel to the workers as bytes: workers on other machines need no Hub.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ras_ext
from ras_ext.errors import InputError, ModelError, PackMismatchError, UndefendedError
from ras_ext.loading import load_vectors
from ras_ext.registry.fingerprint import compare, describe_config
from ras_ext.serve import frontend
from ras_ext.serve.engine.order import JUDGE, PASS, STEER, Order
from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.told import LOST, heard, tokens_needed
from ras_ext.vectors import SteeringVectors

CARRIERS = ("auto", "logits", "state")


@dataclass(frozen=True)
class Held:
    """A pack in use: what it is called here, its vectors, and the revision that was asked for."""

    name: str
    vectors: SteeringVectors
    revision: str | None = None

    @property
    def key(self) -> str:
        """What requests name it by."""
        return f"{self.vectors.id}/{self.vectors.schedule}"

    def risk(self, similarity: float) -> float:
        """r of S; 1 where there is no S."""
        return 1.0 if math.isnan(similarity) else self.vectors.risk(similarity)

    def dose(self, risk: float, strength: float) -> tuple[float, ...]:
        """What each steered token gets."""
        return tuple(min(1.0, risk * strength) * dose for dose in self.vectors.doses)


def parse(text: str) -> tuple[str, str | None]:
    """``NAME[@rev]`` taken apart; a folder of that very name is itself."""
    name, at, revision = text.rpartition("@")
    if not at or Path(text).exists():
        return text, None
    if not name or not revision:
        raise InputError(f"{text!r} names no pack; give NAME or NAME@REVISION")
    return name, revision


def load(text: str, *, schedule: str | None = None, **options: Any) -> Held:
    """A pack by ``NAME[@rev]``; `options` go to :func:`ras_ext.load_vectors`."""
    name, revision = parse(text)
    vectors = load_vectors(name, revision=revision, **options)
    return Held(name, vectors if schedule is None else vectors.with_schedule(schedule), revision)


@dataclass
class Packs:
    """The packs of one engine, the first of them the default.

    Attributes:
        carrier: how doses are carried; ``"auto"`` until the workers have said.
        vocab_size: width of the engine's logits, 0 until then.
    """

    held: dict[str, Held]
    ends: tuple[int, ...]
    carrier: str = "auto"
    vocab_size: int = 0
    runner: str = "?"
    steered_tokens: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Sequence[Held], ends: Sequence[int], carrier: str) -> Packs:
        if not given:
            raise InputError("a defended engine needs at least one pack; name one")
        if carrier not in CARRIERS:
            raise InputError(f"carrier must be one of {', '.join(CARRIERS)}, got {carrier!r}")
        names = [one.name for one in given]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise InputError(f"the pack {twice!r} is named twice; name each once")
        return cls({one.name: one for one in given}, tuple(ends), carrier)

    @property
    def default(self) -> Held:
        return next(iter(self.held.values()))

    def get(self, name: str | None) -> Held:
        """By the name it was started with. Raises InputError for another."""
        if name is None:
            return self.default
        if name not in self.held:
            raise InputError(f"there is no pack {name!r} here; there are {', '.join(sorted(self.held))}")
        return self.held[name]

    def blobs(self) -> list[bytes]:
        """The packs as they are sent."""
        return [Packed.of(one.vectors, self.ends).to_bytes() for one in self.held.values()]

    def agreed(self, statuses: Sequence[Mapping[str, Any]], blobs: Sequence[bytes]) -> None:
        """Takes over what the workers say they hold. Raises ModelError unless all say the same, and it is this."""
        if not statuses:
            raise ModelError("no worker of the engine answered; nothing would be steered")
        wanted = dict(zip([one.key for one in self.held.values()], map(_digest, blobs), strict=True))
        for status in statuses:
            missing = [key for key, digest in wanted.items() if status["packs"].get(key) != digest]
            if missing:
                raise ModelError(f"a worker does not hold the pack {missing[0]} as it was sent")
            if status["ras_ext"] != ras_ext.__version__:
                raise ModelError(
                    f"a worker runs ras_ext {status['ras_ext']}, the server {ras_ext.__version__}; install one version"
                )
        heads = [status for status in statuses if status["samples"]]
        if not heads:
            raise ModelError("no worker of the engine has the model's head; nothing would be steered")
        for name in ("runner", "carrier", "vocab_size"):
            if len({status[name] for status in heads}) != 1:
                raise ModelError(f"the workers disagree on their {name.replace('_', ' ')}; start the engine anew")
        first = heads[0]
        self.carrier, self.vocab_size, self.runner = first["carrier"], first["vocab_size"], first["runner"]
        self.steered_tokens = first["steered_tokens"]
        frontend.hold(wanted)

    def judging(self, held: Held) -> dict[str, Any]:
        """Sampling parameters of a request that is scored."""
        steps = held.vectors.n_score - 1 + tokens_needed(self.vocab_size)
        order = Order(JUDGE, held.key).to_args()
        return {"temperature": 0.0, "max_tokens": steps, "ignore_eos": True, "detokenize": False, "extra_args": order}

    def looking(self, held: Held) -> dict[str, Any]:
        """Sampling parameters of a request that describes its images."""
        tokens = held.vectors.prompts.max_context_tokens
        return {"temperature": 0.0, "max_tokens": tokens, "extra_args": Order(PASS).to_args()}

    def steering(self, held: Held, risk: float, strength: float = 1.0) -> dict[str, Any]:
        """``extra_args`` of an answer."""
        return Order(STEER, held.key, min(1.0, risk * strength)).to_args()

    def heard(self, held: Held, tokens: Sequence[int]) -> float | None:
        """The similarity that a scored request told; None if it has to be scored again.

        Raises UndefendedError if it told none: the processor did not act.
        """
        told = tokens[held.vectors.n_score - 1 :]
        if len(told) < tokens_needed(self.vocab_size):
            raise InputError("the request leaves no room to be judged in; shorten it, or raise --max-model-len")
        try:
            similarity = heard(told, self.vocab_size)
        except ValueError as error:
            raise UndefendedError(str(error)) from None
        return None if similarity == LOST else similarity


def check_fits(held: Held, config: Mapping[str, Any], chat_template: Any) -> None:
    """Raises PackMismatchError, listing every differing field, unless the pack was made for the engine's model."""
    made_for = held.vectors.base_model
    found = describe_config(config, final_norm=made_for.final_norm, chat_template=chat_template)
    differences = [entry for entry in compare(made_for, found) if entry.field not in ("id", "revision")]
    if differences:
        listed = ", ".join(map(str, differences))
        raise PackMismatchError(
            f"the vectors {held.name!r} were made for {made_for.id}, not for this model ({listed}); "
            "calibrate this model with `ras-ext calibrate`",
            tuple(entry.field for entry in differences),
        )


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
