"""Was a request really steered? The one question whose answer makes a server call itself defended."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import takewhile
from typing import Any

from ras_ext.errors import UndefendedError
from ras_ext.serve.engine.order import PASS, STEER, Order
from ras_ext.serve.judging import Asked, scored
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


def testing(packs: Packs, held: Held) -> Generator[Asked, Any, None]:
    """The requests of a self-test, yielded as :func:`ras_ext.serve.judging.judging` does.

    Raises UndefendedError as :func:`check`, and where no similarity is told.
    """
    hello = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    steered = yield hello, parameters(held, True)
    alone = yield hello, parameters(held, False)
    check(packs, held, steered.outputs[0].token_ids, alone.outputs[0].token_ids)
    yield from scored(packs, held, hello)  # the pass in which a similarity is told


def check(packs: Packs, held: Held, steered: Sequence[int], alone: Sequence[int]) -> None:
    """Raises UndefendedError unless `steered` are the tokens of the pack's prototypes."""
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
