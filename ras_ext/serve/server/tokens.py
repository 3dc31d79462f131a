"""``/tokenize`` in front of vLLM's: messages there may hold images too, which are taken as those of answers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm.entrypoints.serve.engine.protocol import ErrorResponse

from ras_ext.errors import InputError
from ras_ext.serve.server.chat import plain
from ras_ext.serve.server.pictures import Pictures
from ras_ext.serve.server.sentences import sentence


class CheckedTokens:
    """In the place of vLLM's handler of tokens, which it asks; all else is passed on as it is."""

    def __init__(self, inner: Any, pictures: Pictures) -> None:
        self._inner, self._pictures = inner, pictures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create_tokenize(self, request: Any, raw_request: Any = None) -> Any:
        """As vLLM's own. Nothing is fetched for a client, and no file opened."""
        if getattr(request, "messages", None) is not None:
            try:
                turns = [_turn(message) for message in plain(request.messages)]
                request = request.model_copy(update={"messages": await self._pictures.taken(turns)})
            except InputError as error:
                wrong = {"message": sentence(error), "type": "BadRequestError", "code": 400}
                return ErrorResponse(error=wrong)
        return await self._inner.create_tokenize(request, raw_request)


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        # vLLM takes parts without a type by what they hold.
        if not isinstance(part, Mapping) or part.get("type") not in ("text", "image_url"):
            raise InputError(f"a part of a message must be a text or an image_url, got {str(part)[:80]!a}")
        if part["type"] == "image_url" and "image_url" not in part:
            raise InputError("an image_url part holds no image_url; add it")
    return {**message, "content": [dict(part) for part in parts]}
