"""A LLaVA, which transformers 4.37.2 has as well, from its folder to a guarded answer under either version."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from models.legacy.subjects import PROMPTS, QUERIES, picture
from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from ras_ext import Guard, SteeringVectors, calibrate, compat, explain, models
from ras_ext.conversation import Request
from ras_ext.errors import InputError, ModelError
from ras_ext.generation import GREEDY, answer, encode, generate

SQUARE = {"height": 20, "width": 20}
TEMPLATE = (
    "{% for m in messages %}{{ 'Q:' if m.role == 'user' else 'A:' }}"
    "{% for c in m.content %}{{ ' <image> ' if c.type == 'image' else ' ' + c.text }}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)


def requests() -> list[Request]:
    return [
        Request.of(None, "w1"),
        Request.of(picture(60, 48), "w1 w2 w3 w4"),
        Request.of(picture(30, 90), "w5 w6", history=[("w7 w8", "w9")]),
    ]


def one_by_one(guard: Guard, **settings: Any) -> list[Any]:
    """Requests with an image run in a batch under transformers 5 only."""
    if compat.SHARES_PREFIXES:
        return guard.generate_batch(requests(), **settings)
    return [guard.generate_batch([request], **settings)[0] for request in requests()]


def tokenizer() -> Any:
    marks = ["[pad]", "[end]", "[unk]", "<image>", "[begin]"]
    words = [*marks, "Q:", "A:", *(f"w{n}" for n in range(60))]
    core = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[unk]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    named = {"bos_token": "[begin]", "eos_token": "[end]", "pad_token": "[pad]", "unk_token": "[unk]"}
    # The processor of 4.37.2 insists on its class, which adds the token that begins a text.
    kind = tf.PreTrainedTokenizerFast if compat.SHARES_PREFIXES else tf.LlamaTokenizerFast
    return kind(tokenizer_object=core, chat_template=TEMPLATE, **named)


def processor() -> Any:
    images, core = tf.CLIPImageProcessor(size=SQUARE, crop_size=SQUARE), tokenizer()
    if "patch_size" not in inspect.signature(tf.LlavaProcessor.__init__).parameters:
        return tf.LlavaProcessor(images, core)
    settings = {"patch_size": 10, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return tf.LlavaProcessor(images, core, chat_template=TEMPLATE, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLaVA of random weights."""
    place = tmp_path_factory.mktemp("llava")
    sizes = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    made = processor()
    text = tf.LlamaConfig(
        vocab_size=len(made.tokenizer),
        hidden_size=40,
        num_key_value_heads=1,
        initializer_range=0.4,
        **sizes,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    vision = tf.CLIPVisionConfig(hidden_size=24, image_size=20, patch_size=10, **sizes)
    torch.manual_seed(3)
    config = tf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, vision_feature_layer=-2, tie_word_embeddings=False
    )
    model = tf.LlavaForConditionalGeneration(config)
    # A trained padding token is not all zeros; 4.37.2 takes rows of zeros for the places of an image.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.4)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 1, 0
    model.save_pretrained(place)
    made.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def one(folder: Path) -> tuple[Any, Any, SteeringVectors]:
    model, opened = models.load(folder)
    return model, opened, calibrate(model, opened, **QUERIES, prompts=PROMPTS, max_new_tokens=3, batch_size=1)


def test_a_llava_is_guarded_alike_by_both_carriers_and_both_prefills(one: Any) -> None:
    by_state, by_logits, apart = (
        one_by_one(Guard(*one, **settings), max_new_tokens=5)
        for settings in ({}, {"carrier": "logits"}, {"prefill": "separate"})
    )
    for other in (by_logits, apart):
        assert [found.text for found in by_state] == [found.text for found in other]
        assert [found.risk for found in by_state] == pytest.approx([found.risk for found in other], abs=1e-4)
    assert all(found.steps for found in by_state)
    # What cannot be shared is run anew, and said so.
    shared = 1 if compat.SHARES_PREFIXES else 3
    assert [found.image_prefills for found in by_state] == [0, shared, shared]
    assert [found.image_prefills for found in apart] == [0, 3, 3]


def test_the_final_norm_is_found_where_this_version_has_it(one: Any) -> None:
    model, opened, vectors = one
    parts, seen = models.read(model), []
    assert vectors.base_model.final_norm == parts.family.final_norm
    handle = parts.final_norm.register_forward_hook(lambda _module, _args, output: seen.append(output))
    with torch.inference_mode():
        logits = model(**encode(model, opened, requests()[1:2])).logits
    handle.remove()
    torch.testing.assert_close(parts.logits(seen[0][:, -1]), logits[:, -1].float())
    assert not torch.allclose(parts.logits(seen[0][:, -1] * 1.1), logits[:, -1].float())


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_answers_as_its_rows_do_alone_whatever_side_is_set(one: Any, side: str) -> None:
    model, opened, _ = one
    rows = requests() if compat.SHARES_PREFIXES else [Request.of(None, text) for text in ("w1", "w2 w3 w4", "w5 w6")]
    before, opened.tokenizer.padding_side = opened.tokenizer.padding_side, side
    try:
        together = answer(model, opened, rows, **{**GREEDY, "max_new_tokens": 4})
        assert opened.tokenizer.padding_side == side
    finally:
        opened.tokenizer.padding_side = before
    alone = [answer(model, opened, [row], **{**GREEDY, "max_new_tokens": 4})[0] for row in rows]
    assert together == alone
    assert len({found.text for found in alone}) == 3


@pytest.mark.parametrize("begins", [False, True])
def test_the_token_that_begins_a_text_is_there_no_more_than_once(one: Any, begins: bool) -> None:
    model, opened, _ = one
    holder = compat.templated(opened)
    before, holder.chat_template = holder.chat_template, ("[begin] " if begins else "") + TEMPLATE
    try:
        ids = torch.cat([encode(model, opened, [request])["input_ids"][0] for request in requests()])
    finally:
        holder.chat_template = before
    assert int((ids == opened.tokenizer.bos_token_id).sum()) == (3 if begins or not compat.SHARES_PREFIXES else 0)


def test_another_picture_changes_the_logits(one: Any) -> None:
    model, opened, _ = one
    settings = {**GREEDY, "max_new_tokens": 1, "output_scores": True, "return_dict_in_generate": True}
    first, again, other = (
        generate(model, opened, [Request.of(image, "w1 w2")], **settings)[0].scores[0]
        for image in (picture(60, 48), picture(60, 48), picture(61, 47))
    )
    assert torch.allclose(first, again, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(first, other, rtol=1e-4, atol=1e-4)


def test_what_this_version_cannot_do_is_refused_with_its_name(one: Any) -> None:
    if compat.FINDS_STRUCTURE:
        pytest.skip("this version can")
    model, opened, vectors = one
    with pytest.raises(InputError, match="one at a time"):
        Guard(model, opened, vectors).generate_batch(requests())
    with pytest.raises(ModelError, match=f"needs transformers 5, and {tf.__version__} is installed"):
        explain(Guard(model, opened, vectors), picture(20, 20), "w1")
    with pytest.raises(ModelError, match=f"'opt' .* needs transformers 5, and {tf.__version__} is installed"):
        models.read(tf.OPTForCausalLM(tf.OPTConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1)))
