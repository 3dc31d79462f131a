"""Packs reach the workers as they were sent, or are refused."""

from __future__ import annotations

import json

import pytest
import torch
from packs_by_hand import HIDDEN, VOCABULARY, head, packed, table
from safetensors.torch import save

from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.table import Table


def test_a_pack_comes_out_as_it_was_sent() -> None:
    sent = packed("a@1/paper", (1.0, 1.0, 0.5))
    came = Packed.from_bytes(sent.to_bytes())
    assert torch.equal(came.prototypes, sent.prototypes)
    assert torch.equal(came.mixture, sent.mixture)
    plain = ("key", "doses", "n_score", "gamma", "alpha", "s_base", "ends")
    assert [getattr(came, name) for name in plain] == [getattr(sent, name) for name in plain]


def test_the_same_pack_makes_the_same_bytes() -> None:
    assert packed("a@1/paper", (1.0,)).to_bytes() == packed("a@1/paper", (1.0,)).to_bytes()


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, -1])
def test_a_pack_that_was_cut_short_is_refused(kept: int) -> None:
    with pytest.raises(ValueError, match="damaged on their way to a worker"):
        Packed.from_bytes(packed("a@1/paper", (1.0,)).to_bytes()[:kept])


@pytest.mark.parametrize("at", range(0, 64, 3))
def test_a_byte_changed_in_the_header_is_refused(at: int) -> None:
    data = bytearray(packed("a@1/paper", (1.0,)).to_bytes())
    data[at] ^= 0x80
    with pytest.raises(ValueError, match="damaged on their way to a worker"):
        Packed.from_bytes(bytes(data))


@pytest.mark.parametrize("said", [None, {}, {"ras_ext": "[]"}, {"ras_ext": "{"}, {"ras_ext": json.dumps({"key": "a"})}])
def test_tensors_of_something_else_are_refused(said: dict[str, str] | None) -> None:
    tensors = {"prototypes": torch.zeros(1, HIDDEN), "mixture": torch.zeros(VOCABULARY)}
    with pytest.raises(ValueError, match="damaged on their way to a worker"):
        Packed.from_bytes(save(tensors, metadata=said))


def test_a_pack_of_another_vocabulary_is_refused() -> None:
    sent = packed("a@1/paper", (1.0,)).to_bytes()
    with pytest.raises(ValueError, match=f"writes {VOCABULARY - 1} logits, the pack a@1/paper is for {VOCABULARY}"):
        Table(torch.device("cpu")).add(sent, lambda states: head(states)[:, 1:], torch.float32, "logits")


def test_a_name_cannot_come_again_with_another_content() -> None:
    held = table(packed("a@1/paper", (1.0, 1.0)))
    held.add(packed("a@1/paper", (1.0, 1.0)).to_bytes(), head, torch.float32, "logits")
    assert len(held.packs) == 1
    with pytest.raises(ValueError, match="loaded already with another content"):
        held.add(packed("a@1/paper", (1.0, 0.5)).to_bytes(), head, torch.float32, "logits")


@pytest.mark.parametrize("carrier", ["logits", "state"])
def test_packs_keep_their_prototypes_when_longer_ones_come(carrier: str) -> None:
    short, long = packed("short@1/paper", (1.0,)), packed("long@1/auto", (1.0,) * 5)
    held = table(short, long, short, carrier=carrier)
    stack = held.states if carrier == "state" else held.logits
    assert stack is not None
    for pack in (short, long):
        wanted = pack.prototypes if carrier == "state" else head(pack.prototypes)
        assert torch.equal(stack[held.slots[pack.key], : len(pack.doses)], wanted)
        assert held.steered_tokens[pack.key] == head(pack.prototypes).argmax(-1).tolist()
