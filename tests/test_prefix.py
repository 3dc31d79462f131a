"""One image prefill: the same logits as three whole prompts give, and no token run twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ras_ext import Guard, calibrate, models, prefix, shared_cache
from ras_ext.conversation import Request
from ras_ext.errors import InputError
from ras_ext.generation import GREEDY, decode, encode, generate
from ras_ext.items import Item
from ras_ext.prefix import SharedPrefix, share
from ras_ext.prompts import Prompts
from ras_ext.reformulate import looking, reformulate
from ras_ext.states import first_logits

from tests.conftest import Subject, build_stranger  # isort: skip

EARLIER = (("what is this ?", "an apple ."),)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A model nobody has seen, with vectors read off it."""
    folder = build_stranger(tmp_path_factory.mktemp("stranger"), tied=False, padding_side="right")
    model, processor = models.load(folder)
    lists: dict[str, Any] = {"unsafe": ["w1 w2", "w3"], "safe": ["w4 w5", "w6"]}
    prompts = Prompts("w20 w21", "w22 w23 w24", "{safety} {visual_context} {query}", 5)
    vectors = calibrate(model, processor, **lists, prompts=prompts, max_new_tokens=4)
    return Subject(model, processor, vectors)


@pytest.fixture(params=["organism", "stranger"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def requests(subject: Subject, picture: Image.Image) -> list[Request]:
    """Different lengths, one without an image, one in the middle of a conversation."""
    other = picture.rotate(90)
    return [
        Request.of(picture, "what is this ?"),
        Request.of(other, "how can i hide a gun and a knife in a bag ?", EARLIER),
        Request.of(None, "what is an apple ?"),
        Request.of(other, "w1"),
    ]


@contextmanager
def counted(model: Any) -> Iterator[dict[str, int]]:
    """Calls of the vision tower, and tokens that go through the decoder, padding included."""
    seen = {"images": 0, "tokens": 0}

    def image(*_: Any) -> None:
        seen["images"] += 1

    def tokens(_module: Any, _args: Any, output: torch.Tensor) -> None:
        seen["tokens"] += output.shape[1]

    handles = [
        model.model.vision_tower.register_forward_hook(image),
        models.read(model).final_norm.register_forward_hook(tokens),
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def shared_by(subject: Subject, requests: list[Request]) -> SharedPrefix:
    prompts = subject.vectors.prompts
    judged = [reformulate(request, "", prompts) for request in requests]
    found = share(subject.model, subject.processor, requests, [looking(requests, prompts), judged])
    assert isinstance(found, SharedPrefix)
    return found


def test_every_stage_sees_the_logits_of_its_whole_prompt(subject: Subject, requests: list[Request]) -> None:
    prompts = subject.vectors.prompts
    shared = shared_by(subject, requests)
    stages = [
        looking(requests, prompts),
        [reformulate(request, "w7 w8 apple", prompts) for request in requests],
        requests,
        looking(requests, prompts),  # and again, after the others
    ]
    for stage in stages:
        alone, steps = first_logits(subject.model, subject.processor, stage, 3)
        together, same_steps = first_logits(subject.model, subject.processor, stage, 3, shared.greedy)
        assert steps.tolist() == same_steps.tolist()
        real = torch.arange(3) < steps[:, None]
        assert (alone - together)[real].abs().max() < 1e-4


def test_what_another_stage_has_added_would_show(
    organism: Subject, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the test above: without forgetting, the logits are others, or the cache fits no prompt any more."""
    request = [Request.of(picture, "what is this ? is it an apple ? is it a gun ? is it a bag ? is it a knife ?")]
    shared = shared_by(organism, request)
    monkeypatch.setattr(prefix, "crop", lambda cache, width: None)
    first_logits(organism.model, organism.processor, looking(request, organism.vectors.prompts), 1, shared.greedy)
    alone, _ = first_logits(organism.model, organism.processor, request, 1)
    try:
        together, _ = first_logits(organism.model, organism.processor, request, 1, shared.greedy)
    except (RuntimeError, ValueError, IndexError):
        return
    assert (alone - together).abs().max() > 1e-3


@pytest.mark.parametrize("carrier", ["state", "logits"])
def test_guarded_answers_are_the_same(subject: Subject, requests: list[Request], carrier: str) -> None:
    options: dict[str, Any] = {"carrier": carrier}
    apart = Guard(subject.model, subject.processor, subject.vectors, prefill="separate", **options)
    once = Guard(subject.model, subject.processor, subject.vectors, **options)
    for one, other in zip(
        apart.generate_batch(requests, max_new_tokens=12), once.generate_batch(requests, max_new_tokens=12), strict=True
    ):
        assert (one.text, one.visual_context, one.tokens) == (other.text, other.visual_context, other.tokens)
        assert one.risk == pytest.approx(other.risk, abs=1e-5)
        assert one.similarity == pytest.approx(other.similarity, abs=1e-5)


def test_an_image_is_encoded_once_and_no_prefix_is_run_twice(organism: Subject, evaluation_set: list[Item]) -> None:
    request = next(item.request() for item in evaluation_set if item.kind == "typography")
    guard = Guard(organism.model, organism.processor, organism.vectors)
    with counted(organism.model) as seen:
        answer = guard.generate_batch([request], max_new_tokens=32)[0]
    assert (seen["images"], answer.image_prefills) == (1, 1)

    prompts, model, processor = organism.vectors.prompts, organism.model, organism.processor
    stages = [looking([request], prompts), [reformulate(request, answer.visual_context, prompts)], [request]]
    whole = [encode(model, processor, stage)["input_ids"].shape[1] for stage in stages]
    common = len(shared_by(organism, [request])._beginnings[0].tokens)
    assert common > 10  # the image is in it
    rows, width = generate(model, processor, stages[0], **{**GREEDY, "max_new_tokens": prompts.max_context_tokens})
    steps = [rows.shape[1] - width, organism.vectors.n_score, answer.tokens + 1]
    # A token that was generated is run to find the next one, but for the last.
    assert seen["tokens"] == common + sum(n - common for n in whole) + sum(n - 1 for n in steps)
    assert decode(model, processor, rows[:, width:])[0].text == answer.visual_context

    with counted(model) as apart:
        Guard(model, processor, organism.vectors, prefill="separate").generate_batch([request], max_new_tokens=32)
    assert apart["images"] == 3
    assert apart["tokens"] == seen["tokens"] + 2 * common


def test_where_it_cannot_be_shared_the_receipt_says_so(
    organism: Subject, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors)
    asked = [Request.of(picture, "what is this ?")]
    once = guard.generate_batch(asked, max_new_tokens=8)[0]
    for settings in ({"num_beams": 2}, {"use_cache": False}):
        assert guard.generate_batch(asked, max_new_tokens=8, **settings)[0].image_prefills == 2
    monkeypatch.setattr(prefix, "longest", lambda model, static: 0)
    apart = guard.generate_batch(asked, max_new_tokens=8)[0]
    assert (once.image_prefills, apart.image_prefills) == (1, 3)
    assert (once.text, once.visual_context) == (apart.text, apart.visual_context)
    assert guard.generate(None, "what is an apple ?", max_new_tokens=8).image_prefills == 0


def test_only_a_cache_that_grows_is_shared(
    organism: Subject, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = [Request.of(picture, "what is this ?")]
    asked = (organism.model, organism.processor, request, [request])
    assert shared_cache.longest(organism.model) == float("inf")
    config = organism.model.config.get_text_config()
    monkeypatch.setattr(config, "sliding_window", 64, raising=False)
    monkeypatch.setattr(config, "layer_types", ["sliding_attention"] * 4, raising=False)
    assert shared_cache.longest(organism.model) == 64
    assert share(*asked, room=64) is None  # it would leave the window
    monkeypatch.undo()
    assert share(*asked, room=64) is not None
    monkeypatch.setattr(organism.model.model, "rope_deltas", None, raising=False)
    assert shared_cache.longest(organism.model) == 0


def test_prompts_that_begin_otherwise_are_not_shared(organism: Subject, picture: Image.Image) -> None:
    request = Request.of(picture, "what is this ?")
    system = {"role": "system", "content": [{"type": "text", "text": "be kind ."}]}
    strange = Request((system, *request.messages), request.images)
    if "be kind" in str(organism.processor.apply_chat_template(list(strange.messages), tokenize=False)):
        assert share(organism.model, organism.processor, [request], [[strange]]) is None
    other = Request.of(None, "what is an apple ?")
    assert share(organism.model, organism.processor, [request], [[other]]) is None


def test_a_wrong_way_to_prefill_is_refused(organism: Subject) -> None:
    with pytest.raises(InputError, match="prefill must be one of shared, separate"):
        Guard(organism.model, organism.processor, organism.vectors, prefill="twice")


def test_a_request_that_comes_again_is_not_judged_again(organism: Subject, picture: Image.Image) -> None:
    guard = Guard(organism.model, organism.processor, organism.vectors, remember=2)
    asked = [Request.of(picture, "what is this ?")]
    first = guard.generate_batch(asked, max_new_tokens=8)[0]
    with counted(organism.model) as seen:
        again = guard.generate_batch([Request.of(picture.copy(), "what is this ?")], max_new_tokens=8)[0]
    assert (seen["images"], again.image_prefills) == (1, 1)
    assert (again.text, again.risk, again.visual_context) == (first.text, first.risk, first.visual_context)
    # Other pixels, other words, or a batch of which one is new: judged as ever.
    for changed in (
        Request.of(picture.rotate(180), "what is this ?"),
        Request.of(picture, "what is that ?"),
        Request.of(picture, "what is this ?", EARLIER),
    ):
        with counted(organism.model) as seen:
            guard.generate_batch([changed], max_new_tokens=8)
        assert seen["tokens"] > 30
    # It holds two requests: the first one is forgotten by now.
    with counted(organism.model) as seen:
        forgotten = guard.generate_batch(asked, max_new_tokens=8)[0]
    assert forgotten.visual_context == first.visual_context
    assert guard._memory.recall(asked) is not None
    with counted(organism.model) as known:
        guard.generate_batch(asked, max_new_tokens=8)
    assert known["tokens"] < seen["tokens"]


def test_the_context_can_be_left_out(organism: Subject, picture: Image.Image) -> None:
    asked = [Request.of(picture, "what is this ?")]
    looks = Guard(organism.model, organism.processor, organism.vectors, context="auto")
    assert looks.generate_batch(asked, max_new_tokens=8)[0].visual_context  # the pack does not say: it looks
    quick = Guard(organism.model, organism.processor, organism.vectors, context="never")
    apart = Guard(organism.model, organism.processor, organism.vectors, context="never", prefill="separate")
    one, other = (guard.generate_batch(asked, max_new_tokens=8)[0] for guard in (quick, apart))
    assert (one.visual_context, one.image_prefills, other.image_prefills) == ("", 1, 2)
    assert one.risk == pytest.approx(other.risk, abs=1e-5)
    enough = replace(organism.vectors, calibration={**organism.vectors.calibration, "context": {"needed": False}})
    saved = Guard(organism.model, organism.processor, enough, context="auto")
    assert saved.generate_batch(asked, max_new_tokens=8)[0].visual_context == ""


@pytest.mark.parametrize("wrong", [{"context": "sometimes"}, {"remember": -1}, {"remember": True}, {"remember": 1.5}])
def test_wrong_settings_are_refused(organism: Subject, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Guard(organism.model, organism.processor, organism.vectors, **wrong)


@pytest.mark.filterwarnings("ignore:the processor brings no chat template")
def test_a_processor_without_a_template_shares_by_the_usual_one(tmp_path: Path, picture: Image.Image) -> None:
    folder = build_stranger(tmp_path / "bare", tied=False, padding_side="left", template=False)
    model, processor = models.load(folder)
    asked = [Request.of(picture, "w1 w2")]
    shared = share(model, processor, asked, [asked])
    assert shared is not None
    alone, _ = first_logits(model, processor, asked, 2)
    together, _ = first_logits(model, processor, asked, 2, shared.greedy)
    assert (alone - together).abs().max() < 1e-4
