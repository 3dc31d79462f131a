"""Steering vectors: validation, the trip through a folder, schedules, prompts, and the check against a real model."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from ras_ext.base_model import describe_model
from ras_ext.errors import InputError, PackError, PackMismatchError, PackNotFoundError
from ras_ext.loading import load_vectors
from ras_ext.prompts import DEFAULT_PROMPTS, Prompts
from ras_ext.registry import BaseModel, read_pack
from ras_ext.schedule import Schedule
from ras_ext.vectors import SteeringVectors

NORM = "model.language_model.norm"
HIDDEN, VOCABULARY = 16, 23


def build(hidden: int = HIDDEN, vocabulary: int = VOCABULARY, **text: Any) -> LlavaForConditionalGeneration:
    """A LLaVA of random weights, as small as the classes allow."""
    config = LlavaConfig(
        text_config=LlamaConfig(
            hidden_size=hidden,
            vocab_size=vocabulary,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            **text,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
        ),
        image_token_index=5,
    )
    return LlavaForConditionalGeneration(config)


@pytest.fixture(scope="module")
def model() -> LlavaForConditionalGeneration:
    return build()


def processor(template: str | None = "{{ messages }}") -> Any:
    return SimpleNamespace(chat_template=None, tokenizer=SimpleNamespace(chat_template=template))


@pytest.fixture
def make(model: LlavaForConditionalGeneration) -> Callable[..., SteeringVectors]:
    def made(dtype: torch.dtype = torch.float32, **changes: Any) -> SteeringVectors:
        generator = torch.Generator().manual_seed(0)
        values: dict[str, Any] = {
            "name": "tiny",
            "base_model": describe_model(model, processor(), final_norm=NORM, id="org/tiny"),
            "prototypes": torch.randn(5, HIDDEN, generator=generator).to(dtype),
            "prototype_mixture": torch.rand(VOCABULARY, generator=generator).to(dtype),
            "gamma": 0.3,
            "alpha": 15.955,
            "s_base": 0.712,
            "schedules": {"paper": Schedule.paper(), "auto": Schedule.decaying(5)},
        }
        return SteeringVectors(**{**values, **changes})

    return made


Make = Callable[..., SteeringVectors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_vectors_come_back_from_a_folder_to_the_bit(make: Make, tmp_path: Path, dtype: torch.dtype) -> None:
    vectors = make(
        dtype,
        safe_prototypes=torch.randn(5, HIDDEN).to(dtype),
        unsafe_direction=torch.randn(HIDDEN).to(dtype),
        center=torch.randn(HIDDEN),
        attention_heads=((1, 0), (0, 1)),
        token_risk={"layer": 1, "slope": 4.0, "bias": 0.1},
        calibration={"n_unsafe": 50, "similarity_safe": [0.1, 0.3], "date": "2026-01-31"},
        evidence={"asr": 0.0},
        evidence_files={"evidence/rows.jsonl": b"{}\n"},
        license="cc-by-4.0",
        prompts=replace(DEFAULT_PROMPTS, safety="sé prudente ¡siempre!"),
        schedule="auto",
    )
    assert vectors.digest is None
    loaded = load_vectors(vectors.save(tmp_path / "pack"))
    assert set(loaded.tensors()) == set(vectors.tensors())
    for name, tensor in vectors.tensors().items():
        back = loaded.tensors()[name]
        assert back.dtype == tensor.dtype
        assert torch.equal(back.view(torch.uint8), tensor.view(torch.uint8)), name
    assert loaded.to_config() == vectors.to_config()
    assert loaded.evidence_files == vectors.evidence_files
    assert loaded.id == vectors.id
    assert loaded.digest == vectors.digest == read_pack(tmp_path / "pack").digest

    other = make(dtype, alpha=15.956)
    assert load_vectors(other.save(tmp_path / "other")).id == other.id != vectors.id


def test_whole_numbers_have_the_same_id_before_and_after_the_trip(make: Make, tmp_path: Path) -> None:
    vectors = make(alpha=16, gamma=0)
    assert load_vectors(vectors.save(tmp_path / "pack")).id == vectors.id


def test_non_contiguous_tensors_that_need_gradients_are_saved_as_they_look(make: Make, tmp_path: Path) -> None:
    turned = torch.randn(HIDDEN, 5, requires_grad=True).T
    loaded = load_vectors(make(prototypes=turned).save(tmp_path / "pack"))
    assert torch.equal(loaded.prototypes, turned)
    assert not loaded.prototypes.requires_grad


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gamma": -0.1}, "method.gamma"),
        ({"gamma": 1.1}, "method.gamma"),
        ({"alpha": 0.0}, "method.alpha"),
        ({"alpha": math.inf}, "method.alpha"),
        ({"s_base": 1.0}, "method.s_base"),
        ({"s_base": math.nan}, "method.s_base"),
        ({"n_score": 0}, "method.n_score"),
        ({"schedule": "absent"}, "no schedule 'absent'"),
        ({"schedules": {}}, "no schedule 'paper'"),
        ({"schedules": {"paper": Schedule.decaying(6)}}, "prototypes must have shape"),
        ({"name": "two words"}, "name must be"),
        ({"license": "My Own"}, "license must be null or a licence as the Hub writes it"),
        ({"prototypes": torch.zeros(5, HIDDEN + 1)}, "prototypes must have shape"),
        ({"prototypes": torch.zeros(2, HIDDEN)}, "prototypes must have shape"),
        ({"prototypes": torch.zeros(5, HIDDEN, dtype=torch.float64)}, "float32, bfloat16 or float16"),
        ({"prototypes": [[0.0] * HIDDEN] * 5}, "float32, bfloat16 or float16"),
        ({"prototypes": torch.full((5, HIDDEN), math.nan)}, "prototypes must be finite"),
        ({"prototype_mixture": torch.ones(VOCABULARY + 1)}, "prototype_mixture must have shape"),
        ({"prototype_mixture": torch.zeros(VOCABULARY)}, "mixture of probabilities"),
        ({"prototype_mixture": -torch.ones(VOCABULARY)}, "mixture of probabilities"),
        ({"center": torch.full((HIDDEN,), math.inf)}, "center must be finite"),
        ({"calibration": {"when": object()}}, "calibration.when"),
        ({"evidence": {"asr": math.nan}}, "evidence.asr"),
    ],
)
def test_vectors_that_make_no_sense_cannot_be_made(make: Make, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(PackError, match=field) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_vectors_are_frozen_and_travel_between_processes(make: Make) -> None:
    vectors = make()
    with pytest.raises(FrozenInstanceError):
        vectors.alpha = 1.0  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(vectors))
    assert copy.id == vectors.id


def test_the_risk_is_the_sigmoid_about_the_baseline(make: Make) -> None:
    vectors = make(s_base=0.7, alpha=math.log(99) / 0.3)
    assert vectors.risk(0.7) == pytest.approx(0.5)
    assert vectors.risk(1.0) == pytest.approx(0.99)
    assert vectors.risk(0.4) == pytest.approx(0.01)
    assert vectors.risk(0.4) != pytest.approx(0.02)
    assert make(alpha=1e5).risk(0.0) == 0.0  # no overflow far from the baseline


@settings(max_examples=30, deadline=None)
@given(st.floats(-1.0, 1.0))
def test_the_risk_of_a_tensor_is_the_risk_of_its_numbers(similarity: float) -> None:
    base = BaseModel("m", "A", 1, 1, 2, "norm", "a" * 64)
    vectors = SteeringVectors("t", base, torch.ones(3, 1), torch.ones(2), 0.3, 15.0, 0.7)
    wide = torch.tensor([similarity], dtype=torch.float64)
    assert vectors.risk(wide).item() == pytest.approx(vectors.risk(similarity), abs=1e-12)
    assert vectors.risk(wide.half()).dtype == torch.float32


def test_a_schedule_is_chosen_by_name_without_becoming_other_vectors(make: Make, tmp_path: Path) -> None:
    vectors = make()
    vectors.save(tmp_path / "pack")
    assert (vectors.n_tokens, vectors.doses) == (3, (1.0, 1.0, 1.0))
    auto = vectors.with_schedule("auto")
    assert (auto.n_tokens, auto.doses) == (5, Schedule.decaying(5).doses)
    assert (auto.id, auto.digest) == (vectors.id, vectors.digest)
    with pytest.raises(PackError, match="its schedules are: auto, paper"):
        vectors.with_schedule("absent")

    own = vectors.with_schedule(Schedule(2, (1.0, 0.5)))
    assert (own.schedule, own.doses) == ("custom", (1.0, 0.5))
    assert own.id != vectors.id
    assert own.digest is None


def test_other_prompts_are_other_vectors(make: Make, tmp_path: Path) -> None:
    vectors = make()
    vectors.save(tmp_path / "pack")
    changed = vectors.with_prompts({"safety": "prudence"})
    assert changed.prompts == replace(DEFAULT_PROMPTS, safety="prudence")
    assert (changed.id != vectors.id, changed.digest) == (True, None)
    assert vectors.with_prompts(Prompts("a", "b")).prompts.safety == "b"
    assert vectors.prompts == DEFAULT_PROMPTS


def test_another_dtype_keeps_the_id_and_another_number_does_not(make: Make) -> None:
    vectors = make()
    moved = vectors.to("cpu", torch.bfloat16)
    assert {tensor.dtype for tensor in moved.tensors().values()} == {torch.bfloat16}
    assert moved.id == vectors.id
    assert vectors.prototypes.dtype == torch.float32
    assert replace(vectors, prototypes=vectors.prototypes + 1).id != vectors.id
    with pytest.raises(PackError, match="finite"):
        make(prototypes=torch.full((5, HIDDEN), 1e6)).to(dtype=torch.float16)


def test_changed_vectors_do_not_carry_the_digest_of_the_old_ones(make: Make, tmp_path: Path) -> None:
    vectors = make()
    vectors.save(tmp_path / "pack")
    assert replace(vectors, alpha=3.0).digest is None
    assert vectors.digest is not None


def test_the_model_they_were_made_for_passes_the_check(make: Make, model: Any, tmp_path: Path) -> None:
    vectors = make()
    vectors.check(model)
    vectors.check(model, processor())
    model.save_pretrained(tmp_path / "model")
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    vectors.check(again, processor())
    vectors.check(torch.compile(again), processor())


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ({"hidden": 32}, ("hidden_size", "config_sha256")),
        ({"vocabulary": 29}, ("vocab_size", "config_sha256")),
        ({"rms_norm_eps": 1e-3}, ("config_sha256",)),
    ],
)
def test_another_model_is_refused_with_every_differing_field(
    make: Make, text: dict[str, Any], fields: tuple[str, ...]
) -> None:
    with pytest.raises(PackMismatchError) as caught:
        make().check(build(**text))
    assert caught.value.fields == fields
    assert all(f"{field}: pack has" in str(caught.value) for field in fields)
    assert "\n" not in str(caught.value)


def test_another_chat_template_is_refused_unless_allowed_by_name(make: Make, model: Any) -> None:
    vectors = make()
    with pytest.raises(PackMismatchError) as caught:
        vectors.check(model, processor("other"))
    assert caught.value.fields == ("chat_template_sha256",)
    vectors.check(model, processor("other"), allow_mismatch=("chat_template_sha256",))
    with pytest.raises(PackMismatchError):
        vectors.check(model, processor("other"), allow_mismatch=("config_sha256",))


@pytest.mark.parametrize("name", ["hidden_size", "vocab_size", "final_norm", "everything"])
def test_what_cannot_work_cannot_be_allowed(make: Make, model: Any, name: str) -> None:
    with pytest.raises(InputError, match=f"cannot name '{name}'"):
        make().check(model, allow_mismatch=[name])


def test_a_final_norm_that_the_model_lacks_is_refused(make: Make, model: Any) -> None:
    vectors = make()
    moved = replace(vectors, base_model=replace(vectors.base_model, final_norm="model.text_model.norm"))
    with pytest.raises(PackMismatchError, match="no such module") as caught:
        moved.check(model)
    assert caught.value.fields == ("final_norm",)


def test_a_mismatch_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(PackMismatchError("they differ", ("hidden_size",))))
    assert (str(error), error.fields) == ("they differ", ("hidden_size",))


def test_loading_with_a_model_checks_it(make: Make, model: Any, tmp_path: Path) -> None:
    folder = make().save(tmp_path / "pack")
    assert load_vectors(folder, model=model, processor=processor()).name == "tiny"
    with pytest.raises(PackMismatchError):
        load_vectors(folder, model=build(rms_norm_eps=1e-3))
    load_vectors(folder, model=build(rms_norm_eps=1e-3), allow_mismatch=("config_sha256",))
    with pytest.raises(PackNotFoundError):
        load_vectors(tmp_path / "absent")


def report_of(vectors: SteeringVectors, **changes: Any) -> dict[str, Any]:
    row = {
        "defense": "ras",
        "asr": 0.02,
        "over_refusal": 0.0,
        "n_unsafe": 9,
        "n_safe": 9,
        "n_content": 0,
        "n_utility": 0,
    }
    return {"vectors": {"id": vectors.id}, "rows": [row], "data_sha256": "d" * 64, **changes}


def test_the_licence_is_kept_and_does_not_decide_the_id(make: Make, tmp_path: Path) -> None:
    free, bare = make(license="apache-2.0"), make()
    assert free.id == bare.id
    loaded = load_vectors(free.save(tmp_path / "pack"))
    assert loaded.license == "apache-2.0"
    assert "license: apache-2.0" in (tmp_path / "pack" / "README.md").read_text("utf-8")
    assert load_vectors(bare.save(tmp_path / "bare")).license is None


def test_an_evaluation_is_kept_as_evidence_under_the_same_id(make: Make, tmp_path: Path) -> None:
    vectors = make(evidence={"note": "by hand"})
    vectors.save(tmp_path / "before")
    measured = vectors.with_evidence(report_of(vectors), data="requests.jsonl")
    assert measured.digest is None
    assert measured.id == vectors.id
    assert dict(vectors.evidence) == {"note": "by hand"}
    loaded = load_vectors(measured.save(tmp_path / "pack"))
    assert loaded.id == vectors.id
    assert loaded.evidence["note"] == "by hand"
    assert loaded.evidence["evaluation"]["rows"][0]["asr"] == 0.02
    assert loaded.digest != vectors.digest
    again = measured.with_evidence(report_of(vectors, data_sha256="e" * 64))
    assert again.evidence["evaluation"]["data_sha256"] == "e" * 64


def test_a_report_of_other_vectors_is_no_evidence_of_these(make: Make) -> None:
    vectors = make()
    renamed = replace(vectors, name="renamed")
    renamed.with_evidence(report_of(vectors))
    with pytest.raises(PackError, match=r"the report measured tiny@.*, these are tiny@.*; evaluate these vectors"):
        vectors.with_evidence(report_of(make(alpha=3.0)))


def test_a_save_that_fails_leaves_the_pack_and_the_digest(make: Make, tmp_path: Path) -> None:
    vectors = make()
    folder = vectors.save(tmp_path / "pack")
    before = vectors.digest
    with pytest.raises(PackError, match="files lists"):
        replace(vectors, evidence_files={"evidence/run.py": b""}).save(folder)
    assert load_vectors(folder).digest == before
