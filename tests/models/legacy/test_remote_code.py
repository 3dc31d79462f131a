"""Families that are code of their checkpoints, from calibration to answer, on stand-ins with their signatures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from models.legacy import xcomposer_tokenizer
from models.legacy.subjects import BUILDERS, PROMPTS, QUERIES, STEPS, Subject, picture, requests, subject
from PIL import Image
from transformers import LogitsProcessor, LogitsProcessorList

from ras_ext import Guard, calibrate, defenses, explain, models, reformulate
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.generation import GREEDY, Answer, answer, end_tokens, prepared
from ras_ext.items import Item
from ras_ext.prefix import share
from ras_ext.states import first_logits

NORMS = {"qwen_vl_chat": "transformer.ln_f", "internlm_xcomposer2": "model.norm"}


@pytest.fixture(scope="module", params=list(BUILDERS))
def one(request: pytest.FixtureRequest) -> Subject:
    return subject(request.param)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_parts_are_where_the_logits_come_from(one: Subject) -> None:
    parts, seen = models.read(one.model), []
    assert (parts.family.name, parts.family.final_norm) == (one.name, NORMS[one.name])
    assert (parts.n_layers, len(parts.layers), parts.hidden_size) == (2, 2, 32)
    assert parts.vocab_size == len(one.tokenizer)
    assert parts.image_token_id is None
    handle = parts.final_norm.register_forward_hook(lambda _module, _args, output: seen.append(output))
    with prepared(one.model, one.processor, requests()) as inputs, torch.inference_mode():
        logits = one.model(**inputs).logits
    handle.remove()
    assert len(seen) == 1
    assert close(parts.logits(seen[0]), logits)
    assert not close(parts.logits(seen[0] * 1.1), logits)


def test_a_batch_is_guarded_and_both_carriers_answer_the_same(one: Subject) -> None:
    by_state, by_logits = (
        one.guard(carrier).generate_batch(requests(), max_new_tokens=5, do_sample=False)
        for carrier in ("state", "logits")
    )
    assert [found.text for found in by_state] == [found.text for found in by_logits]
    assert [found.risk for found in by_state] == [found.risk for found in by_logits]
    assert all(0 < found.risk < 1 and found.steps for found in by_state)
    assert [bool(found.visual_context) for found in by_state] == [False, True, True, True]
    # Nothing is shared between the stages, and the receipt says so: context, risk and answer each read the image.
    assert [found.image_prefills for found in by_state] == [0, 3, 3, 3]
    assert share(one.model, one.processor, requests(), [requests()]) is None
    apart = one.guard(prefill="separate").generate_batch(requests(), max_new_tokens=5, do_sample=False)
    assert [found.text for found in apart] == [found.text for found in by_state]


def test_both_carriers_give_the_same_logits(one: Subject) -> None:
    state, logits = one.guard("state"), one.guard("logits")
    risks = [1.0, 0.5, 0.25, 0.75]
    parts, seen = state.parts, []
    handle = parts.head.register_forward_hook(lambda _module, _args, output: seen.append(output[:, -1].float()))
    try:
        with state.steering(risks):
            found, width = one.run()
        by_state = list(seen)
        seen.clear()
        one.run()
    finally:
        handle.remove()
    mixed, _ = one.run(logits_processor=logits.logits_processor(risks))
    # The prompts differ in where the files lay.
    assert torch.equal(found.sequences[:, width:], mixed.sequences[:, width:])
    assert len(by_state) == len(mixed.scores) == STEPS
    assert all(close(a, b) for a, b in zip(by_state, mixed.scores, strict=True))
    assert not any(close(a, b) for a, b in zip(seen[0], mixed.scores[0], strict=True))


def test_a_single_token_is_steered_by_either_carrier(one: Subject) -> None:
    for carrier in ("state", "logits"):
        found = one.guard(carrier).generate_batch(requests(), max_new_tokens=1, do_sample=False)
        assert [answered.steps for answered in found] == [1, 1, 1, 1]


def test_a_batch_answers_as_its_rows_do_alone(one: Subject) -> None:
    together, width = one.run()
    assert together.sequences.shape[1] == width + STEPS
    for index, request in enumerate(requests()):
        alone, before = one.run([request])
        assert torch.equal(alone.sequences[0, before:], together.sequences[index, width:])
        assert all(close(a[0], b[index]) for a, b in zip(alone.scores, together.scores, strict=True))
        assert not close(alone.scores[0][0], together.scores[0][index - 1])


def test_the_logits_that_are_scored_are_those_of_the_steps(one: Subject) -> None:
    logits, steps = first_logits(one.model, one.processor, requests(), STEPS)
    found = one.run()[0].scores
    assert steps.tolist() == [STEPS] * 4
    assert close(logits, torch.stack(found, 1))
    assert not close(logits, torch.stack(found[::-1], 1))


class Chat:
    """The model's own chat, with the tokens it wrote."""

    def __init__(self, one: Subject, folder: Path) -> None:
        self.one, self.folder = one, folder
        folder.mkdir()

    def __call__(self, request: Request, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], str]:
        model, tokenizer, found = self.one.model, self.one.tokenizer, []
        own = model.generate

        def listening(*args: Any, **settings: Any) -> Any:
            rows = own(*args, **settings)
            # A prompt of embeddings is not returned; a token that begins the text may be.
            width = args[0].shape[1] if args else int(rows[0, 0] == tokenizer.bos_token_id)
            found.append(rows[0, width:].tolist())
            return rows

        paths = []
        for image in request.images:
            paths.append(str(self.folder / f"{len(list(self.folder.iterdir()))}.png"))
            image.save(paths[-1])
        greedy = {"do_sample": False, "max_new_tokens": 12}
        with monkeypatch.context() as patch:
            patch.setattr(model, "generate", listening)
            if self.one.name == "qwen_vl_chat":
                text = self._qwen(model, tokenizer, request, paths, greedy)
            else:
                text = self._xcomposer(model, tokenizer, request, paths, greedy)
        return found[0], text

    def _qwen(self, model: Any, tokenizer: Any, request: Request, paths: list[str], greedy: dict[str, Any]) -> str:
        rest, turns, system = iter(paths), [], {}
        for turn in request.messages:
            parts = [{"text": part["text"]} if "text" in part else {"image": next(rest)} for part in turn["content"]]
            turns.append(tokenizer.from_list_format(parts))
        if request.messages[0]["role"] == "system":
            system = {"system": turns.pop(0)}
        history = list(zip(turns[0:-1:2], turns[1:-1:2], strict=True))
        return model.chat(tokenizer, turns[-1], history, **system, **greedy)[0]

    def _xcomposer(self, model: Any, tokenizer: Any, request: Request, paths: list[str], greedy: dict[str, Any]) -> str:
        texts = [" ".join(part["text"] for part in turn["content"] if "text" in part) for turn in request.messages]
        system: dict[str, Any] = {}
        if request.messages[0]["role"] == "system":
            system = {"use_meta": True, "meta_instruction": texts.pop(0)}
        if len(paths) > 1:
            texts[-1] = "".join(f"Image{n} <ImageHere>; " for n in range(1, len(paths) + 1)) + texts[-1]
        history = list(zip(texts[0:-1:2], texts[1:-1:2], strict=True))
        settings = {**system, **greedy, "repetition_penalty": 1.0}
        return model.chat(tokenizer, texts[-1], paths, history=history, **settings)[0]


@pytest.mark.parametrize("row", range(4), ids=["text", "image", "history", "images-system"])
def test_at_risk_0_the_answer_is_that_of_the_models_own_chat(
    one: Subject, row: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, guard = requests()[row], one.guard()
    tokens, text = Chat(one, tmp_path / "images")(request, monkeypatch)

    def ours(asked: Request, risk: float) -> list[int]:
        with guard.steering(risk):
            found, width = one.run([asked], max_new_tokens=12)
        return found.sequences[0, width:].tolist()

    assert ours(request, 0.0) == tokens[:12]
    with guard.steering(0.0):
        said = answer(one.model, one.processor, [request], **{**GREEDY, "max_new_tokens": 12})[0]
    assert said.text == text.strip()
    assert ours(request, 1.0) != tokens[:12]
    assert ours(request.with_query("w30 w31"), 0.0) != tokens[:12]


class Forced(LogitsProcessor):
    """One token at one step."""

    def __init__(self, token: int, step: int) -> None:
        self.token, self.step, self.calls = token, step, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.step:
            scores = torch.full_like(scores, -1e9)
            scores[:, self.token] = 0
        return scores


def test_an_answer_ends_at_the_end_of_a_turn(one: Subject) -> None:
    settings = {**GREEDY, "max_new_tokens": 8}

    def with_token(token: int) -> Any:
        forced = LogitsProcessorList([Forced(token, 3)])
        return answer(one.model, one.processor, requests()[:1], logits_processor=forced, **settings)[0]

    ends = end_tokens(one.model, one.processor)
    assert set(end_tokens(one.model)) < set(ends)
    for end in ends:
        found = with_token(end)
        assert (found.tokens, found.ended) == (2, True)
    assert with_token(one.tokenizer.convert_tokens_to_ids("user") or 300).tokens > 2


def test_another_picture_changes_its_own_row_only(one: Subject) -> None:
    changed = requests()
    changed[1] = Request.of(picture(60, 48).transpose(Image.Transpose.ROTATE_180), changed[1].query)
    before, after = one.run()[0].scores[0], one.run(changed)[0].scores[0]
    assert [close(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_the_tower_runs_in_the_prefill_only(one: Subject) -> None:
    calls: list[int] = []
    handle = models.read(one.model).vision.register_forward_hook(lambda *_: calls.append(1))
    try:
        for steps in (1, 6):
            one.run(max_new_tokens=steps)
            calls.append(0)
        one.run(requests()[:1])
    finally:
        handle.remove()
    # All images at once, or the four of them one after the other.
    assert calls == ([1, 0] * 2 if one.name == "qwen_vl_chat" else [1, 1, 1, 1, 0] * 2)


def test_files_of_images_are_there_while_they_are_read_and_gone_afterwards(
    one: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with prepared(one.model, one.processor, requests()):
        # Only where the model reads them itself, when it runs.
        assert len(list(tmp_path.rglob("*.png"))) == (4 if one.name == "qwen_vl_chat" else 0)
    assert not list(tmp_path.iterdir())
    one.guard().generate_batch(requests(), max_new_tokens=2)
    assert not list(tmp_path.iterdir())
    seen: list[int] = []

    def fails(*_: Any) -> None:
        seen.append(len(list(tmp_path.rglob("*.png"))))
        raise OSError("no picture today")

    monkeypatch.setattr(models.read(one.model).vision, "forward", fails)
    with pytest.raises(OSError, match="no picture today"):
        one.run()
    assert seen == [4]
    assert not list(tmp_path.iterdir())


def test_a_text_that_marks_an_image_is_refused(one: Subject) -> None:
    mark = {"qwen_vl_chat": "<img>", "internlm_xcomposer2": "<ImageHere>"}[one.name]
    for request in (
        Request.of(None, f"w1 {mark}/etc/hostname</img>"),
        Request.of(None, "w1", history=[(f"{mark}/etc/hostname</img>", "w2")]),
    ):
        with pytest.raises(InputError, match=f"holds '{mark}', which marks an image"):
            one.guard().generate_batch([request])


def test_a_mark_that_the_model_reads_off_an_image_does_not_reach_the_prompt(
    one: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = {"qwen_vl_chat": "<img>", "internlm_xcomposer2": "<ImageHere>"}[one.name]
    read = f"w1 {mark[:3]}{mark}{mark[3:]}/etc/hostname w2"
    monkeypatch.setattr(reformulate, "decode", lambda *_, **__: [Answer(read, 5)] * 3)
    found = one.guard().generate_batch(requests(), max_new_tokens=2, do_sample=False)
    assert [answered.visual_context for answered in found] == ["", *["w1 /etc/hostname w2"] * 3]


def test_the_defences_take_a_tokenizer_too(one: Subject) -> None:
    settings = {**GREEDY, "max_new_tokens": 3}
    said = {
        name: defenses.build(name, one.model, one.tokenizer, one.vectors).answer(requests(), **settings)
        for name in ("none", "safety_prompt", "constant")
    }
    assert said["none"] == answer(one.model, one.processor, requests(), **settings)
    assert said["none"] != said["safety_prompt"]
    assert said["none"] != said["constant"]


def test_a_path_that_is_too_long_for_the_prompt_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject("qwen_vl_chat")
    for length, refused in ((254, False), (255, True)):
        folder = tmp_path / ("d" * 60)
        name = "/ras_ext-12345678/0-0.png"
        folder = folder / ("f" * (length - len(str(folder)) - 1 - len(name)))
        folder.mkdir(parents=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        if refused:
            with pytest.raises(InputError, match="makes it 255; set TMPDIR"):
                one.run(requests()[1:2], max_new_tokens=1)
        else:
            one.run(requests()[1:2], max_new_tokens=1)


def test_the_tokenizer_of_another_model_is_refused(one: Subject) -> None:
    other = xcomposer_tokenizer.tokenizer(["<unk>", "<s>", "</s>"])
    for made in (
        lambda: Guard(one.model, other, one.vectors),
        lambda: calibrate(one.model, other, **QUERIES),
        lambda: models.processor_of(one.model.config, other),
    ):
        with pytest.raises(ModelError, match=f"a {one.name} model cannot use this .*give the tokenizer of the same"):
            made()
    assert models.processor_of(one.model.config, one.tokenizer).tokenizer is one.tokenizer


def test_a_tokenizer_whose_image_marks_are_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject("qwen_vl_chat")
    monkeypatch.setitem(one.model.config.visual, "image_start_id", 7)
    with pytest.raises(ModelError, match=r"its <img> is token \d+, the model's 7"):
        one.guard(allow_mismatch=("config_sha256",))


def test_a_model_without_a_part_is_refused_with_what_opens_it(one: Subject) -> None:
    model, _ = BUILDERS[one.name]()
    home, _, name = NORMS[one.name].rpartition(".")
    delattr(model.get_submodule(home), name)
    with pytest.raises(
        ModelError, match=r"last norm at .*lacks; load it with AutoModelForCausalLM \(trust_remote_code"
    ):
        models.read(model)


def test_the_text_only_kin_of_these_families_are_none_of_them(one: Subject) -> None:
    config = type(one.model.config)(architectures=["QWenLMHeadModel", "InternLM2ForCausalLM"])
    assert models.family_of(one.model.config) is not None
    assert models.family_of(config) is None


def test_an_older_model_of_the_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject("internlm_xcomposer2")
    monkeypatch.setattr(one.model, "encode_img", lambda image: image)
    with pytest.raises(ModelError, match=r"not InternLM-XComposer2\.5"):
        one.run(requests()[1:2])


def test_where_it_looks_is_not_told_and_said_so(one: Subject, tmp_path: Path) -> None:
    items = []
    for number, label in enumerate(("unsafe", "unsafe", "safe", "safe")):
        path = tmp_path / f"{number}.png"
        picture(20 + number, 20).save(path)
        items.append(Item(id=str(number), text=f"w{number}", label=label, kind="made", image=str(path)))
    found = calibrate(one.model, one.tokenizer, **QUERIES, images=items, prompts=PROMPTS, max_new_tokens=3)
    assert found.calibration["source"] == "images"
    assert not found.attention_heads
    assert any("was not calibrated" in doubt for doubt in found.calibration["warnings"])
    with pytest.raises(ModelError, match=r"cannot be told: its images are no tokens|needs transformers 5, and 4\.37"):
        explain(one.guard(), picture(20, 20), "w1")


def test_vectors_are_kept_and_found_again(one: Subject, tmp_path: Path) -> None:
    from ras_ext import load_vectors

    folder = one.vectors.save(tmp_path / "pack")
    loaded = load_vectors(folder, model=one.model, processor=one.processor)
    assert loaded.id == one.vectors.id
    first, again = (
        Guard(one.model, one.tokenizer, vectors).generate_batch(requests(), max_new_tokens=3, do_sample=False)
        for vectors in (one.vectors, loaded)
    )
    assert [(row.text, row.risk) for row in first] == [(row.text, row.risk) for row in again]
