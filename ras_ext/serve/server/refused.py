"""What of a chat request cannot be asked of a defended server, and what keeps a refusal from being written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ras_ext.errors import InputError

EXTENSION = "ras"  # the field of requests and responses that is ours
# Asked for with any other value than this one, the defence would not act as described.
_MUST_BE: dict[str, tuple[Any, str]] = {
    "use_beam_search": (False, "beams are not steered"),
    "continue_final_message": (False, "an answer that a client has begun is not judged by its own first words"),
    "add_generation_prompt": (True, "the answer has to begin where the model's turn does"),
    "truncate_prompt_tokens": (None, "the stages of the defence would see other parts of the prompt"),
    "kv_transfer_params": (None, "the prompt has to be the one that is judged"),
    "ec_transfer_params": (None, "the image has to be the one that is looked at"),
    "tools": (None, "tool calls are no answers that can be judged"),
    "documents": (None, "documents are not looked at; put them into the messages"),
    "thinking_token_budget": (None, "the first tokens of the answer are the ones that are judged"),
    "echo": (False, "what a client sent stays out of the answer"),
}
# What of a template's own words a client must not choose: with them it could write turns that are in no message.
_TEMPLATE_S_OWN = re.compile(r"add_generation_prompt|continue_final_message|messages|tools|documents|.*_token")
_TORN = re.compile("[\ud800-\udfff]")
_REQUEST_ID = re.compile(r"[!-~]{1,200}")
_NEITHER: tuple[Any, ...] = (None, [], {}, "")
_PENALTY = (0.8, 1.3)  # within these a repetition penalty does not silence the words of a refusal


def check_fields(request: Any) -> None:
    """Raises InputError for fields that nobody knows, and for settings under which the defence would not act."""
    unknown = sorted(set(request.model_extra or {}) - {EXTENSION})
    if unknown:
        raise InputError(f"there is no field {unknown[0]!r} in a chat completion request; leave it out")
    for name, (value, why) in _MUST_BE.items():
        found = getattr(request, name, value)
        if found != value and not (value is None and found in _NEITHER):
            raise InputError(f"{name}={str(found)[:60]!r} is not served here: {why}; leave it out")
    _check_template(request.chat_template_kwargs or {})
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise InputError("request_id must be 1 to 200 printable ASCII characters without spaces; leave it out")
    torn = next((name for name in request.model_fields_set - {"messages"} if _is_torn(getattr(request, name))), None)
    if torn is not None:
        raise InputError(f"{torn} holds half a character (a lone UTF-16 surrogate); send whole ones")
    if EXTENSION in (request.vllm_xargs or {}):
        raise InputError(f"vllm_xargs must not hold {EXTENSION!r}; the field {EXTENSION!r} of the request is for that")


def check_texts(turns: Sequence[Mapping[str, Any]]) -> None:
    """Raises InputError for a text that no tokenizer takes."""
    if any(_is_torn(part.get("text")) for turn in turns for part in turn["content"]):
        raise InputError("a message holds half a character (a lone UTF-16 surrogate); send whole ones")


def _check_template(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if _TEMPLATE_S_OWN.fullmatch(name) or not isinstance(value, (bool, int, float, type(None))):
            raise InputError(
                f"chat_template_kwargs must hold switches and numbers of the template, not {name[:60]!a}: "
                "no words but those of the messages are judged; leave it out"
            )


def _is_torn(value: Any) -> bool:
    """Whether a text anywhere in it is none that can be written down."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple)):
            left += one
        elif isinstance(one, str) and _TORN.search(one):
            return True
    return False


def asked_of(request: Any) -> tuple[str | None, float | None]:
    """Pack and strength of the request's own ``ras`` field. Raises InputError for what is none."""
    given = (request.model_extra or {}).get(EXTENSION)
    if given is None:
        return None, None
    if not isinstance(given, dict):
        raise InputError(f"{EXTENSION} must be an object with pack or strength, got {str(given)[:60]!r}")
    unknown = sorted(set(given) - {"pack", "strength"})
    if unknown:
        raise InputError(f"{EXTENSION} has no field {unknown[0]!r}; its fields are pack and strength")
    pack, strength = given.get("pack"), given.get("strength")
    if pack is not None and not isinstance(pack, str):
        raise InputError(f"{EXTENSION}.pack must be the name of a pack, got {str(pack)[:60]!r}")
    if strength is not None and (isinstance(strength, bool) or not isinstance(strength, (int, float))):
        raise InputError(f"{EXTENSION}.strength must be a number, got {str(strength)[:60]!r}")
    return pack, None if strength is None else float(strength)


def is_constrained(request: Any) -> bool:
    """Whether the request keeps some answers from being written, so that a refusal may be one of them."""
    kind = getattr(request.response_format, "type", None)
    if request.structured_outputs is not None or kind not in (None, "text"):
        return True
    if request.bad_words or request.allowed_token_ids is not None or request.logit_bias:
        return True
    low, high = _PENALTY
    penalty = request.repetition_penalty
    return penalty is not None and not low <= penalty <= high
