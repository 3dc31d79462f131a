from __future__ import annotations

from types import SimpleNamespace

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ras_ext.base_model import bare_model, chat_template, describe_model


def tiny(**changes: int) -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(**{"n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 17, **changes}))


def test_a_text_model_is_described_without_an_image_token() -> None:
    found = describe_model(tiny(), final_norm="transformer.ln_f", id="org/tiny")
    assert (found.id, found.architecture) == ("org/tiny", "GPT2LMHeadModel")
    assert (found.hidden_size, found.n_layers, found.vocab_size) == (8, 2, 17)
    assert (found.image_token_id, found.revision, found.chat_template_sha256) == (None, None, None)
    assert describe_model(tiny(n_head=4), final_norm="transformer.ln_f").config_sha256 != found.config_sha256


def test_the_vocabulary_is_that_of_the_head_when_the_config_lags_behind() -> None:
    model = tiny()
    model.lm_head = torch.nn.Linear(8, 19, bias=False)
    assert describe_model(model, final_norm="transformer.ln_f").vocab_size == 19


def test_the_revision_is_known_only_for_a_model_from_the_hub() -> None:
    model = tiny()
    model.config._name_or_path = "org/tiny"
    model.config._commit_hash = "abc"
    assert describe_model(model, final_norm="transformer.ln_f").revision == "abc"
    assert describe_model(model, final_norm="transformer.ln_f", id="mine").revision is None
    assert describe_model(model, final_norm="transformer.ln_f", id="org/tiny").revision == "abc"


def test_wrappers_are_looked_through() -> None:
    model = tiny()
    assert bare_model(torch.compile(model)) is model
    wrapped = SimpleNamespace(get_base_model=lambda: model)
    assert bare_model(wrapped) is model


def test_the_chat_template_of_the_processor_wins_over_its_tokenizers() -> None:
    tokenizer = SimpleNamespace(chat_template="inner")
    assert chat_template(SimpleNamespace(chat_template="outer", tokenizer=tokenizer)) == "outer"
    assert chat_template(SimpleNamespace(chat_template=None, tokenizer=tokenizer)) == "inner"
    assert chat_template(tokenizer) == "inner"
    assert chat_template(None) is None
