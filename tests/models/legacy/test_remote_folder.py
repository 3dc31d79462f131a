"""A folder that brings its model as Python files, opened as published checkpoints are: by ``trust_remote_code``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from models.legacy.subjects import BUILDERS, requests, subject
from transformers import AutoModelForCausalLM, AutoTokenizer, dynamic_module_utils

from ras_ext import Guard, models
from ras_ext.models import Tokenized

HERE = Path(__file__).parent
CODE = {  # files, config, model, tokenizer
    "qwen_vl_chat": ("qwen_vl", "QWenConfig", "QWenLMHeadModel", "qwen_tokenizer.QWenTokenizer"),
    "internlm_xcomposer2": ("xcomposer", "InternLMXcomposer2Config", "InternLMXComposer2ForCausalLM", None),
}


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where the files are copied to before they are imported: one place, as the package they make is imported once."""
    place = str(tmp_path_factory.mktemp("modules"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", place)
        patch.syspath_prepend(place)
        yield


@pytest.fixture(scope="module", params=list(BUILDERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A stand-in as a checkpoint: weights, config, and the files its classes stand in."""
    name = request.param
    place = tmp_path_factory.mktemp("remote") / name
    model, tokenizer = BUILDERS[name]()
    module, config, kind, own_tokenizer = CODE[name]
    model.generation_config.do_sample, model.generation_config.top_p = False, 1.0
    model.save_pretrained(place)
    stored = json.loads((place / "config.json").read_text())
    stored["model_type"] = model.config.model_type  # what a class calls itself need not be what its checkpoint says
    stored["auto_map"] = {"AutoConfig": f"{module}.{config}", "AutoModelForCausalLM": f"{module}.{kind}"}
    (place / "config.json").write_text(json.dumps(stored))
    shutil.copy(HERE / f"{module}.py", place)
    if own_tokenizer:
        shutil.copy(HERE / f"{own_tokenizer.partition('.')[0]}.py", place)
        described = {"tokenizer_class": "QWenTokenizer", "auto_map": {"AutoTokenizer": [own_tokenizer, None]}}
        (place / "tokenizer_config.json").write_text(json.dumps(described))
    else:
        tokenizer.save_pretrained(place)
    return name, place


def same(a: Any, b: Any) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_checkpoint_of_code_is_opened_and_guarded(folder: tuple[str, Path]) -> None:
    name, place = folder
    one = subject(name)
    model, processor = models.load(place, trust_remote_code=True)
    assert isinstance(processor, Tokenized)
    assert type(model) is not type(one.model)
    assert same(model, one.model)
    assert not same(model, BUILDERS[{"qwen_vl_chat": "internlm_xcomposer2"}.get(name, "qwen_vl_chat")]()[0])
    tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=True)
    by_hand = AutoModelForCausalLM.from_pretrained(place, trust_remote_code=True).eval()
    expected = one.guard().generate_batch(requests(), max_new_tokens=4, do_sample=False)
    for opened, given in ((model, processor), (by_hand, tokenizer)):
        guard = Guard(opened, given, one.vectors)
        assert guard.parts.family.name == name
        found = guard.generate_batch(requests(), max_new_tokens=4, do_sample=False)
        assert [(row.text, row.risk) for row in found] == [(row.text, row.risk) for row in expected]
