from __future__ import annotations

from typing import Any

from huggingface_hub import ModelCard

from ras_ext.registry import card_text


def test_the_front_matter_is_what_the_hub_reads(config: dict[str, Any]) -> None:
    data = ModelCard(card_text(config)).data
    assert data.library_name == "ras_ext"
    assert data.base_model == "org/tiny-llava"
    assert {"ras", "steering-vectors"} <= set(data.tags)


def test_a_base_model_that_is_not_on_the_hub_is_left_out_of_the_front_matter(config: dict[str, Any]) -> None:
    for name, revision in (("builtin:organism", None), ("runs/mine", None), ("/models/mine", "abc")):
        config["base_model"].update(id=name, revision=revision)
        text = card_text(config)
        assert ModelCard(text).data.base_model is None
        assert f"`{name}`" in text


def test_thresholds_schedules_and_evidence_are_shown(config: dict[str, Any]) -> None:
    text = card_text(config)
    assert "| s_base | 0.712 |" in text
    assert "| schedule paper (default) | 3 tokens, dose 1, 1, 1 |" in text
    assert "| schedule auto | 5 tokens, dose 1, 1, 1, 0.8, 0.64 |" in text
    assert "| asr ras | 0.02 |" in text
    assert "load_vectors(" in text
    config["evidence"] = {}
    assert "None recorded." in card_text(config)


def test_text_from_outside_cannot_break_the_table(config: dict[str, Any]) -> None:
    config["evidence"] = {"note | <script>": "two\nlines | more"}
    row = next(line for line in card_text(config).splitlines() if "script" in line)
    assert row == "| note \\| &lt;script> | two lines \\| more |"
