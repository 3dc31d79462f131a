from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard

from ras_ext.registry import RawTensor, card_text, write_pack
from ras_ext.registry.plots import RISK_FILE, THRESHOLD_FILE

EVALUATION = {
    "data": "requests.jsonl",
    "vectors": "tiny@0a1b2c3d",
    "data_sha256": "d" * 64,
    "batch_size": 32,
    "max_new_tokens": 64,
    "environment": {"ras_ext": "0.1.0", "torch": "2.13.0", "dtype": "bfloat16", "device": None},
    "rows": [
        {
            "defense": name,
            "n_unsafe": 180,
            "n_safe": 170,
            "asr": asr,
            "asr_content": None,
            "over_refusal": 0.0,
            "utility": 0.9888,
            "intervals": {"asr": [0.01, 0.058], "asr_content": None},
            "relative_throughput": speed,
        }
        for name, asr, speed in (("ras", 0.0222, 0.41), ("none", 0.9333, None))
    ],
}


def test_the_front_matter_is_what_the_hub_reads(config: dict[str, Any]) -> None:
    data = ModelCard(card_text(config)).data.to_dict()
    assert data == {
        "license": "apache-2.0",
        "library_name": "ras_ext",
        "pipeline_tag": "image-text-to-text",
        "base_model": "org/tiny-llava",
        "base_model_relation": "adapter",
        "tags": ["ras", "steering-vectors", "safety", "multimodal"],
    }


def test_without_a_licence_the_front_matter_has_none(config: dict[str, Any]) -> None:
    config["license"] = None
    assert "license" not in card_text(config)


def test_a_base_model_that_is_not_on_the_hub_is_left_out_of_the_front_matter(config: dict[str, Any]) -> None:
    for name, revision in (("builtin:organism", None), ("runs/mine", None), ("/models/mine", "abc")):
        config["base_model"].update(id=name, revision=revision)
        text = card_text(config)
        data = ModelCard(text).data.to_dict()
        assert "base_model" not in data
        assert "base_model_relation" not in data
        assert f"`{name}`" in text


def test_how_to_load_names_the_pack_its_model_and_how_to_pin_both(config: dict[str, Any]) -> None:
    text = card_text(config)
    assert "pip install ras-ext" in text
    assert 'load_vectors("OWNER/tiny", revision="v1")' in text
    revision = config["base_model"]["revision"]
    assert f'Guard.from_pretrained("org/tiny-llava", vectors, revision="{revision}")' in text
    assert "ras-ext lock OWNER/tiny" in text
    code = text.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")

    config["base_model"].update(id="builtin:tiny", revision=None)
    text = card_text(config)
    assert 'load_vectors("builtin:tiny")' in text
    assert 'Guard.from_pretrained("builtin:tiny", vectors)' in text
    assert "OWNER" not in text


def test_thresholds_schedules_and_evidence_are_shown(config: dict[str, Any]) -> None:
    text = card_text(config)
    assert "| `s_base` | 0.712 | baseline S_base" in text
    assert "| paper (default) | 3 | 1, 1, 1 |" in text
    assert "| auto | 5 | 1, 1, 1, 0.8, 0.64 |" in text
    assert "| asr ras | 0.02 |" in text
    config["evidence"] = {}
    assert "None recorded." in card_text(config)


def test_the_calibration_is_told_in_words(config: dict[str, Any]) -> None:
    config["calibration"] = {
        "n_unsafe": 50,
        "source": "images",
        "similarity_unsafe": [0.97909, 0.12708],
        "false_negatives": 0.01667,
        "first_token": "<s>",
        "trials": [{"n_tokens": 3, "complied": 0.6, "over_refusal": 0.0}],
        "warnings": ["the model | refuses in many ways"],
        "torch_version": "2.13.0",
        "dtype": "float32",
        "device": "cpu",
        "of_a_later_release": {"a": 1},
    }
    text = card_text(config)
    assert "| unsafe text queries | 50 |" in text
    assert "| baseline read from | labelled image queries |" in text
    assert "| similarity of the unsafe ones | mean 0.9791, lowest 0.1271 |" in text
    assert "| unsafe below S_base | 1.7 % |" in text
    assert "| first token of a refusal | `<s>` |" in text
    assert "| made with | torch 2.13.0, float32, on cpu |" in text
    assert "| 3 | 60.0 % | 0.0 % |" in text
    assert "* the model \\| refuses in many ways" in text
    assert "| of_a_later_release a | 1 |" in text


def test_an_evaluation_is_one_row_for_each_defence(config: dict[str, Any]) -> None:
    config["evidence"] = {"evaluation": EVALUATION, "note": "by hand"}
    text = card_text(config)
    rows = [line for line in text.splitlines() if line.startswith(("| ras |", "| none |"))]
    assert rows == [
        "| ras | 180 | 170 | 2.2 % (1.0 to 5.8) | – | 0.0 % | 98.9 % | 0.41 |",
        "| none | 180 | 170 | 93.3 % (1.0 to 5.8) | – | 0.0 % | 98.9 % | – |",
    ]
    assert "Measured with `tiny@0a1b2c3d`: data `requests.jsonl`" in text
    assert "dtype bfloat16." in text
    assert "| note | by hand |" in text


@pytest.mark.parametrize(
    "strange",
    [
        {"rows": []},
        {"rows": ["x"]},
        {"rows": [{}]},
        {"rows": [{"asr": "much", "intervals": {"asr": [None, "x"]}, "utility": True}]},
        {"rows": 3, "environment": []},
        "text",
        None,
    ],
)
def test_evidence_of_another_form_is_shown_as_it_is(config: dict[str, Any], strange: Any) -> None:
    config["evidence"] = {"evaluation": strange}
    config["calibration"] = {"trials": strange, "warnings": strange, "similarity_safe": strange, "refused": strange}
    assert "## Evidence" in card_text(config)


def test_plots_are_shown_where_the_pack_has_them(config: dict[str, Any]) -> None:
    assert "![" not in card_text(config)
    text = card_text(config, [RISK_FILE, THRESHOLD_FILE, "evidence/similarities.csv"])
    assert "](evidence/risk.png)" in text
    assert "](evidence/threshold.png)" in text
    assert "not of answers" in " ".join(text.split())


def test_text_from_outside_cannot_break_the_table(config: dict[str, Any]) -> None:
    config["evidence"] = {"note | <script>": "two\nlines | more"}
    config["calibration"] = {"first_token": "a`|\n"}
    text = card_text(config)
    row = next(line for line in text.splitlines() if "script" in line)
    assert row == "| note \\| &lt;script> | two lines \\| more |"
    assert "| first token of a refusal | `a'\\|` |" in text


def test_the_card_in_a_pack_is_that_of_its_config(
    pack_folder: Any, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    assert write_pack(pack_folder, config, tensors).files["README.md"].decode() == card_text(config)
