"""Where the defence could not act nothing is answered, and one sentence says why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from served import ENGINE

from ras_ext.errors import InputError, ModelError, PackError, PackMismatchError
from ras_ext.serve import GuardedLLM
from ras_ext.serve.engine.order import JUDGE, PASS, STEER, Order
from ras_ext.serve.packs import Held

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # the last test sends its workers a function
        found = GuardedLLM("builtin:organism", "builtin:organism", **ENGINE)
        yield found
        found.close()


def ask(engine: Any, extra_args: Any) -> str:
    """Past the defence's own door: at vLLM's."""
    from vllm import SamplingParams

    sampling = SamplingParams(temperature=0.0, max_tokens=8, extra_args=extra_args)
    return str(engine.llm.chat([HELLO], sampling, use_tqdm=False)[0].outputs[0].text)


def order(**changed: Any) -> dict[str, Any]:
    return {"ras": {"do": STEER, "pack": "organism", "dose": 1.0, **changed}}


def test_a_request_without_an_order_is_refused(engine: Any) -> None:
    from vllm.exceptions import VLLMValidationError

    for args in (None, {}, {"other": True}):
        with pytest.raises(VLLMValidationError, match="answers no request that does not say how"):
            ask(engine, args)


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (order(), "there is no pack 'organism' in this engine; it holds organism@"),
        (order(do=JUDGE), "there is no pack 'organism' in this engine"),
        (order(do=PASS), "there is no pack 'organism' in this engine"),
        (order(dose=float("nan")), "must be a number from 0 to 1, got nan"),
        (order(dose=2.0), "must be a number from 0 to 1, got 2.0"),
        (order(dose=[1.0, 0.0]), "must be a number from 0 to 1"),
        (order(do="undo"), "must be an object whose 'do' is"),
        ({"ras": ["pass"]}, "must be an object whose 'do' is"),
    ],
)
def test_a_forged_order_is_refused(engine: Any, forged: dict[str, Any], said: str) -> None:
    from vllm.exceptions import VLLMValidationError

    with pytest.raises(VLLMValidationError, match=said):
        ask(engine, forged)
    assert ask(engine, Order(PASS).to_args())  # and others are answered all the same


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"speculative_config": {"method": "ngram", "num_speculative_tokens": 2}}, "leave speculative_config out"),
        ({"worker_extension_cls": "other.Extension"}, "the defence needs worker_extension_cls="),
        ({"logprobs_mode": "raw_logits"}, "the defence needs logprobs_mode='processed_logprobs', got 'raw_logits'"),
    ],
)
def test_an_engine_in_which_it_could_not_act_is_not_started(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        GuardedLLM("builtin:organism", "builtin:organism", **{**ENGINE, **setting})


def test_another_version_of_vllm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm.version

    monkeypatch.setattr(vllm.version, "__version__", "0.31.2")
    with pytest.raises(ModelError, match=r"vLLM 0\.31\.2 is not supported"):
        GuardedLLM("builtin:organism", "builtin:organism", **ENGINE)


def test_a_damaged_pack_is_refused(organism: Any, tmp_path: Path) -> None:
    folder = organism.vectors.save(tmp_path / "pack")
    tensors = next(folder.glob("*.safetensors"))
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(bytes(data))
    with pytest.raises(PackError):
        GuardedLLM("builtin:organism", str(folder), **ENGINE)


@pytest.mark.parametrize("field", ["vocab_size", "chat_template"])
def test_a_pack_of_another_model_is_refused(engine: Any, organism: Any, field: str) -> None:
    vectors, made_for = organism.vectors, organism.vectors.base_model
    if field == "vocab_size":
        wider = torch.nn.functional.pad(vectors.prototype_mixture, (0, 9))
        other = replace(
            vectors, base_model=replace(made_for, vocab_size=made_for.vocab_size + 9), prototype_mixture=wider
        )
    else:
        other = replace(vectors, base_model=replace(made_for, chat_template_sha256="0" * 64))
    with pytest.raises(PackMismatchError, match=f"not for this model .*{field}"):
        engine._load([Held("other", other)], "auto")


def test_a_worker_without_the_processor_takes_no_pack() -> None:
    from ras_ext.serve.engine.extension import _processor

    runner = SimpleNamespace(input_batch=SimpleNamespace(logitsprocs=SimpleNamespace(all=iter(()))))
    with pytest.raises(RuntimeError, match="has 0 of the defence's logits processors and needs one"):
        _processor(runner)


def test_another_chat_template_than_the_pack_s_is_refused(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.llm, "chat_template", "{{ messages }}")
    with pytest.raises(PackMismatchError, match="chat_template"):
        engine._load(list(engine.packs.held.values()), "auto")


def _forget(worker: Any) -> None:
    from ras_ext.serve.engine.extension import _processor

    _processor(worker.model_runner).acting.table.packs.clear()


def test_a_worker_that_lost_its_pack_answers_nothing(engine: Any) -> None:
    """The last test of this engine: it ends with the request."""
    from vllm import SamplingParams
    from vllm.v1.engine.exceptions import EngineDeadError

    engine.llm.collective_rpc(_forget)
    with pytest.raises(EngineDeadError):
        engine.chat([HELLO], SamplingParams(temperature=0.0, max_tokens=8), risk=[1.0])
