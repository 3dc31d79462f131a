"""How the defence's own requests are put to vLLM, alike for the offline and the online engine."""

from __future__ import annotations

from typing import Any


def chat_form(renderer: Any, chat_template: str | None) -> tuple[Any, Any]:
    """What turns a conversation into a prompt: vLLM's chat and tokenization parameters, for ``render_chat``."""
    from vllm.renderers import ChatParams

    kwargs = {"add_generation_prompt": True, "continue_final_message": False}
    params = ChatParams(chat_template=chat_template, chat_template_kwargs=kwargs)
    # The template writes the tokens that begin a prompt.
    return params, renderer.default_chat_tok_params.with_kwargs(add_special_tokens=False)


def whole(parameters: Any) -> Any:
    """Sampling parameters, or keywords of such, that nobody else holds: of the finished output only."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    params = SamplingParams(**parameters) if isinstance(parameters, dict) else parameters
    params.skip_clone = True
    params.output_kind = RequestOutputKind.FINAL_ONLY
    return params
