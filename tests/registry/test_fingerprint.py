from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from ras_ext.registry import BaseModel, PackError, compare, describe_config
from ras_ext.registry.fingerprint import chat_template_sha256, config_sha256

LLAVA: dict[str, Any] = {
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "image_token_index": 32000,
    "vision_feature_layer": -2,
    "text_config": {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "vocab_size": 32064,
        "intermediate_size": 11008,
        "rms_norm_eps": 1e-05,
    },
    "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024, "image_size": 336, "patch_size": 14},
    "transformers_version": "5.23.0",
    "_name_or_path": "llava-hf/llava-1.5-7b-hf",
    "dtype": "float16",
}


def describe(config: dict[str, Any], **known: Any) -> BaseModel:
    return describe_config(config, final_norm="model.language_model.norm", **known)


def test_a_nested_config_is_described_by_its_language_model() -> None:
    found = describe(LLAVA, chat_template="{{ messages }}", revision="abc")
    assert (found.hidden_size, found.n_layers, found.vocab_size) == (4096, 32, 32064)
    assert (found.id, found.architecture) == ("llava-hf/llava-1.5-7b-hf", "LlavaForConditionalGeneration")
    assert found.image_token_id == 32000
    assert found.chat_template_sha256 == chat_template_sha256("{{ messages }}")
    assert BaseModel.from_dict(found.to_dict()) == found


def test_a_flat_config_is_described_and_one_without_sizes_refused() -> None:
    found = describe({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "vocab_size": 50257})
    assert (found.hidden_size, found.n_layers, found.image_token_id) == (768, 12, None)
    with pytest.raises(PackError, match="no hidden_size"):
        describe({"model_type": "clip"})


def test_where_a_model_was_loaded_and_by_what_does_not_change_its_hash() -> None:
    later = copy.deepcopy(LLAVA)
    later.update(transformers_version="6.0", _name_or_path="/tmp/copy", dtype="bfloat16", torch_dtype="bfloat16")
    later.update(use_cache=False, _attn_implementation="sdpa", architectures=None, new_default=True)
    later["vision_config"]["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": "axial"}
    later["audio_config"] = {"model_type": "none"}
    later = dict(reversed(later.items()))
    assert config_sha256(later) == config_sha256(LLAVA)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("text_config", "hidden_size", 5120),
        ("text_config", "intermediate_size", 13824),
        ("text_config", "rms_norm_eps", 1e-06),
        ("vision_config", "image_size", 224),
        (None, "vision_feature_layer", -1),
        (None, "model_type", "llava_next"),
    ],
)
def test_what_makes_another_model_changes_the_hash(section: str | None, key: str, value: Any) -> None:
    other = copy.deepcopy(LLAVA)
    (other if section is None else other[section])[key] = value
    assert config_sha256(other) != config_sha256(LLAVA)


def test_the_same_number_in_another_part_of_the_config_is_not_the_same() -> None:
    moved = copy.deepcopy(LLAVA)
    moved["text_config"]["image_size"] = moved["vision_config"].pop("image_size")
    assert config_sha256(moved) != config_sha256(LLAVA)


def test_a_chat_template_is_the_same_with_other_line_ends_only() -> None:
    assert chat_template_sha256("a\nb\n") == chat_template_sha256("a\r\nb")
    assert chat_template_sha256("a\nb") != chat_template_sha256("a b")
    named = chat_template_sha256({"default": "a", "tool": "b"})
    assert named == chat_template_sha256({"tool": "b", "default": "a"})
    assert named != chat_template_sha256({"default": "a"})


def test_differences_are_listed_field_by_field() -> None:
    mine = describe(LLAVA, chat_template="one")
    assert compare(mine, mine) == []
    other = replace(mine, hidden_size=8, config_sha256="b" * 64, chat_template_sha256="c" * 64)
    found = compare(mine, other)
    assert [entry.field for entry in found] == ["hidden_size", "config_sha256", "chat_template_sha256"]
    assert str(found[0]) == "hidden_size: pack has 4096, model has 8"
    assert str(found[1]).endswith("model has bbbbbbbbbbbb…")


def test_what_is_unknown_on_either_side_is_not_compared() -> None:
    mine = describe(LLAVA, chat_template="one", revision="r1")
    assert compare(mine, replace(mine, image_token_id=None, chat_template_sha256=None, revision=None)) == []
    assert [entry.field for entry in compare(mine, replace(mine, image_token_id=1))] == ["image_token_id"]


def test_ids_count_only_when_both_models_came_with_a_revision() -> None:
    mine = describe(LLAVA, revision="r1")
    assert compare(mine, replace(mine, id="./copy", revision=None)) == []
    assert [entry.field for entry in compare(mine, replace(mine, id="org/fine-tune", revision="r7"))] == ["id"]
    assert [entry.field for entry in compare(mine, replace(mine, revision="r2"))] == ["revision"]
