"""What an engine has to be started with to be defended, and what has to be read of it before packs go in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ras_ext.errors import InputError, ModelError
from ras_ext.registry.errors import in_one_line
from ras_ext.serve.packs import Held, Packs, check_fits
from ras_ext.serve.versions import check_vllm

# What is told to clients about likely tokens is told of the steered distribution, never of the one beneath it.
_LOGPROBS = "processed_logprobs"


def engine_settings(**asked: Any) -> dict[str, Any]:
    """`asked` with what the defence needs, as keywords of vLLM's engine arguments.

    Raises InputError for a setting under which it would not act, MissingExtraError and ModelError for vLLM itself.
    """
    check_vllm()
    from ras_ext.serve.engine import extension, processor

    if asked.get("speculative_config") is not None:
        raise InputError(
            "under speculative decoding vLLM runs no logits processor of ours; leave speculative_config out"
        )
    for name, ours in (("worker_extension_cls", extension.NAME), ("logprobs_mode", _LOGPROBS)):
        if asked.get(name) not in (None, "", "raw_logprobs", ours):
            raise InputError(f"the defence needs {name}={ours!r}, got {asked[name]!r}; leave it out")
    others = [name for name in asked.get("logits_processors") or () if name != processor.NAME]
    return {
        **asked,
        # Ours last: what others do to the logits is steered too.
        "logits_processors": [*others, processor.NAME],
        "worker_extension_cls": extension.NAME,
        "logprobs_mode": _LOGPROBS,
    }


def packs_for(
    vllm_config: Any, tokenizer: Any, held: Sequence[Held], carrier: str, chat_template: str | None = None
) -> Packs:
    """The packs of an engine, each made for its model, not yet sent to its workers.

    `chat_template` is the one that was given in place of the model's own. Raises PackMismatchError, ModelError or
    InputError.
    """
    _check_engine(vllm_config, tokenizer, held, chat_template)
    return Packs.of(held, _end_tokens(vllm_config, tokenizer), carrier)


def not_taken(error: Exception) -> ModelError:
    """What a worker raised over the packs; it comes back as text in an exception of vLLM's."""
    return ModelError(f"a worker did not take the vectors in: {in_one_line(error)}")


def _check_engine(vllm_config: Any, tokenizer: Any, packs: Sequence[Held], chat_template: str | None) -> None:
    model = vllm_config.model_config
    if model.runner_type != "generate":
        raise ModelError(f"{model.model} is served as a {model.runner_type} model; only models that write are defended")
    template = chat_template or _template(model, tokenizer)
    for held in packs:
        check_fits(held, model.hf_config.to_dict(), template)


def _template(model: Any, tokenizer: Any) -> Any:
    from vllm.transformers_utils.processor import cached_processor_from_config

    processor = cached_processor_from_config(model) if model.is_multimodal_model else None
    return getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)


def _end_tokens(vllm_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that end an answer: those of the generation settings, else of the tokenizer."""
    found = vllm_config.model_config.try_get_generation_config().get("eos_token_id")
    if found is None:
        found = tokenizer.eos_token_id
    if found is None:
        return ()
    return tuple(found) if isinstance(found, (list, tuple)) else (int(found),)
