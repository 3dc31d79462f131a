"""Finding a model's parts, and refusing what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, LlamaConfig, LlamaForCausalLM

from ras_ext import models
from ras_ext.errors import ModelError


def test_the_parts_of_a_llava_are_where_its_answers_come_from(stranger_folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(stranger_folder).eval()
    parts = models.read(model)
    ids = torch.tensor([[4, 7, 8, 5]])
    with torch.inference_mode():
        output = model(input_ids=ids, output_hidden_states=True)
    assert (parts.hidden_size, parts.vocab_size, parts.n_layers, parts.image_token_id) == (40, 86, 2, 3)
    torch.testing.assert_close(parts.logits(output.hidden_states[-1]), output.logits)
    assert not torch.allclose(parts.logits(output.hidden_states[-2]), output.logits)


def test_a_model_that_sees_nothing_is_refused_with_what_it_lacks() -> None:
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    with pytest.raises(ModelError, match=r"type 'llama' are not supported.*a vision tower and an image token"):
        models.read(LlamaForCausalLM(config))


def test_what_is_no_model_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="None"):
        models.read(object())


def test_a_llava_without_its_head_is_refused(stranger_folder: Path) -> None:
    from transformers import AutoModel

    with pytest.raises(ModelError, match="AutoModelForImageTextToText"):
        models.read(AutoModel.from_pretrained(stranger_folder))


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        models.load(tmp_path)


def test_an_unknown_built_in_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match="builtin:organism"):
        models.load("builtin:nothing")


def test_a_broken_config_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be opened") as caught:
        models.load(tmp_path)
    assert "\n" not in str(caught.value)
