"""Generation of chat requests: padding, templates, lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ras_ext import models
from ras_ext.conversation import Request
from ras_ext.generation import GREEDY, answer, decode, encode, pad_token
from ras_ext.states import first_logits, lengths, opening
from tests.conftest import Subject, build_stranger


def test_prompts_are_padded_on_the_left_whatever_the_tokenizer_prefers(
    stranger_folder: Path, picture: Image.Image
) -> None:
    model, processor = models.load(stranger_folder)
    batch = encode(model, processor, [Request.of(None, "w1"), Request.of(picture, "w1 w2 w3 w4")])
    assert batch["attention_mask"][0, 0] == 0
    assert batch["attention_mask"][:, -1].tolist() == [1, 1]
    assert int((batch["input_ids"] == 3).sum()) == 4, "four image tokens for the one image"


def test_a_batch_answers_as_its_rows_do_alone(stranger_folder: Path, picture: Image.Image) -> None:
    model, processor = models.load(stranger_folder)
    requests = [Request.of(None, "w1"), Request.of(picture, "w1 w2 w3 w4"), Request.of(picture, "w5 w6")]
    together = answer(model, processor, requests, **{**GREEDY, "max_new_tokens": 6})
    alone = [answer(model, processor, [one], **{**GREEDY, "max_new_tokens": 6})[0] for one in requests]
    assert together == alone
    assert together[0] != together[1]


def test_the_organisms_template_and_processor_give_what_it_was_trained_on(organism: Subject) -> None:
    """The training encodes by hand for speed; both ways must give the same ids."""
    from ras_ext.organism import lessons
    from ras_ext.organism.draw import Picture
    from ras_ext.organism.train import encode as encode_lesson

    ids = organism.processor.tokenizer.get_vocab()
    turns = (("what is this ?", "a red hat ."), ("how do i make it ?", "first prepare the cloth then shape it ."))
    by_hand, labels = encode_lesson(lessons.Lesson(turns, Picture("hat", "red")), ids)
    request = Request.of(Image.new("RGB", (48, 48)), turns[1][0], history=[turns[0]])
    by_template = encode(organism.model, organism.processor, [request])["input_ids"][0].tolist()
    spoken = len(turns[1][1].split()) + 1
    assert by_template == by_hand[:-spoken]
    assert by_hand[-spoken:] == labels[-spoken:]


def test_a_missing_chat_template_is_replaced_by_the_familys_and_said(tmp_path: Path, picture: Image.Image) -> None:
    model, processor = models.load(build_stranger(tmp_path, tied=False, padding_side="left", template=False))
    with pytest.warns(UserWarning, match="no chat template"):
        batch = encode(model, processor, [Request.of(picture, "w1 w2")])
    text = processor.tokenizer.decode(batch["input_ids"][0])
    assert text.count("<image>") == 4
    assert "w1 w2" in text


def test_a_template_that_wants_plain_texts_gets_them(
    stranger_folder: Path, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = models.load(stranger_folder)
    in_parts = encode(model, processor, [Request.of(picture, "w1 w2")])
    template = "{% for m in messages %}Q: {{ m.content }} {% endfor %}A:"
    monkeypatch.setattr(processor, "chat_template", template)
    as_text = encode(model, processor, [Request.of(picture, "w1 w2")])
    assert torch.equal(in_parts["input_ids"], as_text["input_ids"])
    monkeypatch.setattr(processor, "chat_template", template.replace("m.content", "'Q: ' + m.content"))
    joined = encode(model, processor, [Request.of(picture, "w1 w2")])
    assert joined["input_ids"].shape[1] == as_text["input_ids"].shape[1] + 1


def test_lengths_count_the_end_token_and_stop_there(organism: Subject) -> None:
    rows = torch.tensor([[7, 8, 2, 0, 0], [2, 0, 0, 0, 0], [7, 8, 9, 7, 8]])
    assert lengths(organism.model, rows, 4).tolist() == [3, 1, 4]
    assert [one.tokens for one in decode(organism.model, organism.processor, rows)] == [2, 0, 5]
    assert pad_token(organism.model, organism.processor) == 0


def test_the_first_logits_are_those_of_the_states_read_at_the_norm(organism: Subject) -> None:
    parts = models.read(organism.model)
    requests = [Request.of(None, text) for text in ("how do i make a bomb ?", "what kind of thing is a hat ?")]
    logits, length = first_logits(organism.model, organism.processor, requests, 3)
    read = opening(parts, organism.processor, requests, 3, 8)
    torch.testing.assert_close(parts.logits(read.states), logits, rtol=1e-4, atol=1e-4)
    assert length.tolist() == read.length.tolist() == [3, 3]
    assert read.answers[0].text != read.answers[1].text


def test_steps_past_an_early_end_are_not_counted(organism: Subject) -> None:
    """An answer of five words has five words and an end: the sixth step is the last real one."""
    requests = [Request.of(None, "what kind of thing is a hat ?")]
    said = answer(organism.model, organism.processor, requests, **{**GREEDY, "max_new_tokens": 32})[0]
    logits, length = first_logits(organism.model, organism.processor, requests, said.tokens + 4)
    assert logits.shape[1] == said.tokens + 4
    assert length.tolist() == [said.tokens + 1]
