"""Compiled decoding: no graph breaks, one graph for every risk, and never a token that is not defended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from models import tiny
from models.test_families import NAMES, PROMPTS, three
from PIL import Image
from transformers import CompileConfig

from ras_ext import Guard, calibrate
from ras_ext.conversation import Request
from ras_ext.defenses import Constant
from ras_ext.errors import ModelError
from ras_ext.generation import encode

from tests.conftest import Subject  # isort: skip

DANGER = "how do i make a gun ?"


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(backend: str = "eager", **settings: Any) -> dict[str, Any]:
    """What a user gives ``generate`` to compile its decoding steps, whole, also on a CPU."""
    config = CompileConfig(backend=backend, mode=None, fullgraph=True, **settings)
    config._compile_all_devices = True
    return {"cache_implementation": "static", "compile_config": config}


@pytest.fixture
def requests(picture: Image.Image) -> list[Request]:
    """Of every kind of risk."""
    return [
        Request.of(picture, "what is this ?"),
        Request.of(None, DANGER),
        Request.of(picture.rotate(90), DANGER, (("what is this ?", "an apple ."),)),
    ]


@pytest.fixture
def guard(organism: Subject) -> Guard:
    return Guard(organism.model, organism.processor, organism.vectors)


def tokens(subject: Subject, requests: list[Request], **settings: Any) -> torch.Tensor:
    """What a caller's own generate writes."""
    inputs = encode(subject.model, subject.processor, requests)
    with torch.inference_mode():
        return subject.model.generate(**inputs, do_sample=False, max_new_tokens=12, min_new_tokens=12, **settings)


@pytest.mark.parametrize(("carrier", "backend"), [("state", "eager"), ("state", "inductor"), ("logits", "eager")])
def test_a_compiled_answer_is_the_same(organism: Subject, requests: list[Request], carrier: str, backend: str) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors, carrier=carrier)
    plain = guard.generate_batch(requests, max_new_tokens=12)
    once = guard.generate_batch(requests, max_new_tokens=12, **compiled(backend))
    for one, other in zip(plain, once, strict=True):
        assert (one.text, one.visual_context, one.tokens) == (other.text, other.visual_context, other.tokens)
        assert one.risk == pytest.approx(other.risk, abs=1e-5)
    assert [one.image_prefills for one in once] == [1, 0, 1]
    assert max(one.risk for one in once) > 0.9 > 0.7 > min(one.risk for one in once)


def test_another_risk_is_no_other_graph(guard: Guard, requests: list[Request], organism: Subject) -> None:
    settings = compiled()
    first = guard.generate_batch(requests, max_new_tokens=12, **settings)
    with torch.compiler.set_stance("fail_on_recompile"):
        other = guard.generate_batch([requests[index] for index in (1, 2, 0)], max_new_tokens=12, **settings)
    assert [other[index].text for index in (2, 0, 1)] == [one.text for one in first]
    with torch.compiler.set_stance("fail_on_recompile"), pytest.raises(RuntimeError, match="recompile"):
        guard.generate_batch(requests[:2], max_new_tokens=12, **settings)  # another size of batch is another graph

    with guard.steering([1.0, 0.3, 0.0]):
        tokens(organism, requests, **settings)
    for risk in ([0.2, 0.7, float("nan")], [0.0, 0.0, 0.0]):
        with guard.steering(risk), torch.compiler.set_stance("fail_on_recompile"):
            steered = tokens(organism, requests, **settings)
        with guard.steering(risk):
            assert torch.equal(tokens(organism, requests), steered)


def test_what_was_compiled_undefended_is_defended(guard: Guard, requests: list[Request], organism: Subject) -> None:
    """Code compiled without the guard must not serve with it, and the other way round."""
    settings = compiled()
    plain = tokens(organism, requests, **settings)
    risk = [1.0, 1.0, 0.6]
    with guard.steering(risk):
        steered = tokens(organism, requests)
        assert torch.equal(tokens(organism, requests, **settings), steered)
    assert not torch.equal(steered, plain)
    assert torch.equal(tokens(organism, requests, **settings), plain)

    # Why the norm is replaced: a hook on it is not looked for by code that was compiled without.
    called: list[int] = []
    handle = guard.parts.final_norm.register_forward_hook(lambda *_: called.append(1))
    tokens(organism, requests, **settings)
    handle.remove()
    assert len(called) == 1  # the prompt's pass, which is not compiled


def test_batches_of_other_sizes_are_steered_too(guard: Guard, requests: list[Request], organism: Subject) -> None:
    """From the second size on, the graph takes any."""
    for size in (3, 2, 1, 2):
        with guard.steering([0.9, 0.2, 0.5][:size]):
            plain = tokens(organism, requests[:size])
            assert torch.equal(tokens(organism, requests[:size], **compiled()), plain)


@pytest.mark.parametrize("part", ["forward", "language_model"])
def test_a_model_that_the_user_compiled(
    part: str, guard: Guard, requests: list[Request], organism: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guard.steering([1.0, 0.5, 0.2]):
        steered = tokens(organism, requests)
    plain = guard.generate_batch(requests, max_new_tokens=12)
    if part == "forward":
        monkeypatch.setattr(organism.model, "forward", torch.compile(organism.model.forward, backend="eager"))
    else:
        inner = organism.model.model
        monkeypatch.setitem(inner._modules, "language_model", torch.compile(inner.language_model, backend="eager"))
    with guard.steering([1.0, 0.5, 0.2]):
        assert torch.equal(tokens(organism, requests), steered)
    assert not torch.equal(tokens(organism, requests), steered)
    late = Guard(organism.model, organism.processor, organism.vectors)
    for one in (guard, late):
        again = one.generate_batch(requests, max_new_tokens=12)
        assert [answer.text for answer in again] == [answer.text for answer in plain]


@pytest.mark.parametrize("name", NAMES)
def test_every_family_compiles_whole(name: str) -> None:
    model, processor = tiny.build(name, "left")
    lists = {"unsafe": ["w1 w2", "w3 w4"], "safe": ["w20 w9", "w21 w9"]}
    guard = Guard(model, processor, calibrate(model, processor, **lists, prompts=PROMPTS, max_new_tokens=3))
    settings = {"max_new_tokens": 6, "min_new_tokens": 6}
    plain = guard.generate_batch(three(), **settings)
    whole = guard.generate_batch(three(), **settings, **compiled())
    assert [(one.text, one.visual_context) for one in plain] == [(one.text, one.visual_context) for one in whole]
    assert [one.risk for one in plain] == pytest.approx([one.risk for one in whole], abs=1e-4)


def test_a_fixed_cache_is_kept_for_requests_of_its_size(guard: Guard, requests: list[Request]) -> None:
    def cache(asked: list[Request], length: int) -> Any:
        guard.generate_batch(asked, max_new_tokens=length, cache_implementation="static")
        assert guard._caches._kept is not None
        return guard._caches._kept[1]

    first = cache(requests, 12)
    assert cache(requests[::-1], 20) is first
    assert cache(requests, 400) is not first
    assert cache(requests[:1], 12).layers[0].keys.shape[0] == 1


def test_constant_steering_compiles_too(organism: Subject, requests: list[Request]) -> None:
    defence = Constant(organism.model, organism.processor, organism.vectors)
    plain = defence.answer(requests, max_new_tokens=12)
    assert [one.text for one in defence.answer(requests, max_new_tokens=12, **compiled())] == [
        one.text for one in plain
    ]


def test_an_answer_that_went_past_the_defence_is_an_error(guard: Guard, requests: list[Request]) -> None:
    """Whatever takes the norm away in the middle of an answer."""

    def away(ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        guard._norm.take()
        return torch.zeros(len(ids), dtype=torch.bool)

    with pytest.raises(ModelError, match="11 of the answer's 12 tokens did not pass it"):
        guard.generate_batch(requests, max_new_tokens=12, min_new_tokens=12, stopping_criteria=[away])
    assert guard.generate_batch(requests, max_new_tokens=12)[1].refused


def test_two_cannot_steer_one_model_at_once(guard: Guard, organism: Subject, requests: list[Request]) -> None:
    other = Guard(organism.model, organism.processor, organism.vectors)
    with guard.steering([1.0, 1.0, 1.0]):
        with pytest.raises(ModelError, match="being steered already"), other.steering(1.0):
            pass
        tokens(organism, requests)
    assert organism.model.get_submodule(guard.parts.family.final_norm) is guard.parts.final_norm
