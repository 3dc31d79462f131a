"""Was a request really steered? The one question whose answer makes a server call itself defended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from ras_ext.errors import UndefendedError
from ras_ext.serve.engine.order import PASS, STEER, Order
from ras_ext.serve.packs import Held, Packs

QUESTION = "hello"


def full_steps(held: Held) -> int:
    """How many first steps of the schedule have a dose of 1: there, a request at full risk writes what is known."""
    return len(list(takewhile(lambda dose: dose == 1.0, held.vectors.doses)))


def parameters(held: Held, steered: bool) -> dict[str, Any]:
    """Sampling parameters of a test request: at full dose, or left alone."""
    order = Order(STEER, held.key, 1.0) if steered else Order(PASS)
    steps = max(full_steps(held), 1)
    args = order.to_args()
    return {"temperature": 0.0, "max_tokens": steps, "ignore_eos": True, "detokenize": False, "extra_args": args}


def check(packs: Packs, held: Held, steered: Sequence[int], alone: Sequence[int], similarity: float | None) -> None:
    """Raises UndefendedError unless `steered` are the tokens of the pack's prototypes and a risk was told."""
    steps = full_steps(held)
    wanted = packs.steered_tokens.get(held.key, [])[:steps]
    if list(steered[:steps]) != wanted:
        raise UndefendedError(
            f"the self-test was not steered: the pack {held.name!r} at full dose must write {wanted}, "
            f"the engine wrote {list(steered)}"
        )
    if not steps and list(steered) == list(alone):
        raise UndefendedError(
            f"the self-test was not steered: the engine wrote alike with the pack {held.name!r} and without"
        )
    if similarity is None:
        raise UndefendedError("the self-test was not judged: no similarity was told")
