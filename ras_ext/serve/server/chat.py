"""``/v1/chat/completions``: judge, decide by the policy, answer through vLLM's own handler with the receipt on it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import GenerationError

from ras_ext.errors import InputError, ModelError, UndefendedError
from ras_ext.judge import opens_with_refusal
from ras_ext.serve import stages
from ras_ext.serve.online import AsyncGuard
from ras_ext.serve.packs import Held
from ras_ext.serve.receipt import BLOCKED, PASSED, Judged, Receipt
from ras_ext.serve.server import refused
from ras_ext.serve.server.access_log import AccessEntry, AccessLog
from ras_ext.serve.server.limits import logged, note
from ras_ext.serve.server.metrics import Metrics
from ras_ext.serve.server.pictures import Pictures
from ras_ext.serve.server.policy import Policy, Tenant, Unauthorized
from ras_ext.serve.server.reasons import of_status
from ras_ext.serve.server.sentences import sentence
from ras_ext.serve.server.spelled import Spelled
from ras_ext.serve.server.watch import Watch

REFUSAL = "I'm sorry, but I can't help with that."
_NO_TOKEN = "the engine gave the answer up: what constrains it leaves no token to be written; correct that"
_TOO_LONG = "maximum context length"  # vLLM's words for it
_OPENING = 80  # characters of an answer that tell a refusal


@dataclass
class Asked:
    """One request on its way through the server."""

    request: ChatCompletionRequest
    raw: Any
    tenant: Tenant
    held: Held
    strength: float
    start: float
    receipt: Receipt | None = None


class DefendedChat:
    """In the place of vLLM's handler of chat completions, which it asks for the answers."""

    def __init__(
        self,
        inner: OpenAIServingChat,
        guard: AsyncGuard,
        policy: Policy,
        *,
        watch: Watch,
        metrics: Metrics,
        log: AccessLog,
        pictures: Pictures,
        spelled: Spelled,
    ) -> None:
        self._inner, self._guard, self._policy = inner, guard, policy
        self._watch, self._metrics, self._log = watch, metrics, log
        self._pictures, self._spelled = pictures, spelled

    async def create_chat_completion(self, request: ChatCompletionRequest, raw_request: Any = None) -> Any:
        """As vLLM's own: a response, the chunks of a streamed one, or an error."""
        start = time.perf_counter()
        try:
            if not self._watch.defended:
                return self._error(
                    raw_request, request, f"the defence is out of order: {self._watch.why}", 503, "undefended"
                )
            asked = self._ask(request, raw_request, start)
            turns = stages.checked(plain(request.messages))
            refused.check_texts(turns)
            self._spelled.check(turns)
            wrong = await self._inner._check_model(request)
            if wrong is not None:
                return self._passed_on(raw_request, request, wrong)
            return await self._answer(asked, await self._pictures.taken(turns))
        except Unauthorized as error:
            return self._error(raw_request, request, str(error), 401, "unauthorized")
        except InputError as error:
            return self._error(raw_request, request, str(error), 400, "input")
        except UndefendedError as error:
            self._watch.failed(str(error))
            said = f"the defence is out of order: {error}"
            return self._error(raw_request, request, said, 503, "undefended")
        except ModelError as error:
            return self._error(raw_request, request, str(error), 503, "model")
        except Exception as error:
            wrong = create_error_response(error)  # by vLLM's own table of whose fault an error is
            if isinstance(error, GenerationError) and refused.is_constrained(request):
                return self._error(raw_request, request, _NO_TOKEN, 400, "input")
            if wrong.error.code >= 500:
                raise
            return self._passed_on(raw_request, request, wrong)

    def _ask(self, request: ChatCompletionRequest, raw: Any, start: float) -> Asked:
        tenant = self._policy.tenant_of(None if raw is None else raw.headers.get("authorization"))
        refused.check_fields(request)
        pack, strength = refused.asked_of(request)
        held = self._guard.packs.get(tenant.pack_for(pack, self._guard.packs.default.name))  # None: an undefended one's
        return Asked(request, raw, tenant, held, tenant.strength_for(strength), start)

    async def _answer(self, asked: Asked, turns: list[dict[str, Any]]) -> Any:
        request, guard = asked.request, self._guard
        if asked.tenant.off:
            judged, action = Judged(0.0, float("nan"), ""), PASSED
        else:
            found = await self._judge(asked, turns)
            if isinstance(found, ErrorResponse):
                return self._passed_on(asked.raw, request, found)
            judged = found
            action = asked.tenant.action(judged.risk, refused.is_constrained(request))
        asked.receipt = guard.receipt(asked.held, judged, action=action, strength=asked.strength)
        if asked.raw is not None:
            note(asked.raw.state, asked.receipt)
        if action == BLOCKED:
            return self._blocked(asked)
        order = guard.order(asked.held, judged, action, asked.strength)
        answering = request.model_copy(update={"messages": turns})
        answering.vllm_xargs = {**(request.vllm_xargs or {}), **order}
        result = await self._inner.create_chat_completion(answering, asked.raw)
        if isinstance(result, ErrorResponse):
            result.error.message = sentence(result.error.message)
            self._done(asked, "", result.error.code, of_status(result.error.code))
            return result
        if isinstance(result, ChatCompletionResponse):
            said = result.choices[0].message.content or "" if result.choices else ""
            setattr(result, refused.EXTENSION, self._shown(asked))
            self._done(asked, said, 200, usage=result.usage)
            return result
        return self._streamed(asked, result)

    async def _judge(self, asked: Asked, turns: list[dict[str, Any]]) -> Judged | ErrorResponse:
        """Stages 1 and 2 with the request's own template settings and priority."""
        request, wrong = asked.request, []

        async def render(prompt: list[dict[str, Any]]) -> Any:
            # Of the answer's own length and form nothing holds for the stages before it.
            bare = {"messages": prompt, "max_tokens": None, "max_completion_tokens": None, "response_format": None}
            try:
                result = await self._inner.online_renderer.render_chat(
                    request.model_copy(update={**bare, "structured_outputs": None, "stream": False})
                )
            except Exception as error:
                result = create_error_response(error)
                if result.error.code >= 500:
                    raise
            if isinstance(result, ErrorResponse):
                if _TOO_LONG in result.error.message:
                    raise InputError(
                        "with the safety prompt by which it is judged, the request is longer than the "
                        f"{self._inner.model_config.max_model_len} tokens that fit; shorten it"
                    )
                wrong.append(result)
                raise InputError(result.error.message)
            return result[1][0]

        try:
            return await self._guard.judge(turns, asked.held, render, priority=request.priority)
        except InputError:
            if wrong:
                return wrong[0]
            raise

    async def _streamed(self, asked: Asked, chunks: Any) -> AsyncGenerator[str, None]:
        """The chunks as they come, the receipt in the first."""
        said, first = "", True
        try:
            async for chunk in chunks:
                if (first or len(said) < _OPENING) and chunk.startswith("data: {"):
                    value = json.loads(chunk[len("data: ") :])
                    said += "".join(choice["delta"].get("content") or "" for choice in value.get("choices", ()))
                    if first:
                        value[refused.EXTENSION], first = self._shown(asked), False
                        chunk = f"data: {json.dumps(value)}\n\n"
                yield chunk
        finally:
            await chunks.aclose()
            metadata = getattr(getattr(asked.raw, "state", None), "request_metadata", None)
            self._done(asked, said, 200, usage=getattr(metadata, "final_usage_info", None))

    def _blocked(self, asked: Asked) -> Any:
        """The fixed refusal, in the form that was asked for."""
        request = asked.request
        head = {"id": f"chatcmpl-{request.request_id}", "created": int(time.time()), "model": self._model(request)}
        self._done(asked, REFUSAL, 200)
        if request.stream:
            return self._blocked_chunks(head, self._shown(asked))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": REFUSAL},
            "finish_reason": "content_filter",
        }
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        response = ChatCompletionResponse(**head, choices=[choice], usage=usage)
        setattr(response, refused.EXTENSION, self._shown(asked))
        return response

    async def _blocked_chunks(self, head: dict[str, Any], receipt: dict[str, Any]) -> AsyncGenerator[str, None]:
        delta = {"role": "assistant", "content": REFUSAL}
        choice = {"index": 0, "delta": delta, "finish_reason": "content_filter"}
        chunk = {**head, "object": "chat.completion.chunk", "choices": [choice], refused.EXTENSION: receipt}
        yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    def _shown(self, asked: Asked) -> dict[str, Any]:
        """The receipt as this server shows it."""
        assert asked.receipt is not None
        found = asked.receipt.to_dict()
        if self._policy.short_receipts:
            found.pop("visual_context")
        return found

    def _model(self, request: ChatCompletionRequest) -> str:
        return request.model or self._inner.models.model_name()

    def _done(self, asked: Asked, said: str, status: int, error: str | None = None, usage: Any = None) -> None:
        """Counts and logs a request that has an end."""
        receipt = asked.receipt
        assert receipt is not None
        logged(getattr(asked.raw, "state", None))
        seconds = {**receipt.seconds, "answer": time.perf_counter() - asked.start - sum(receipt.seconds.values())}
        self._metrics.observe(
            tenant=asked.tenant.name,
            pack=receipt.pack,
            action=receipt.action,
            risk=None if asked.tenant.off else receipt.risk,
            refused=opens_with_refusal(said),
            steered_tokens=len(receipt.dose),
            seconds=seconds,
        )
        self._log.write(
            AccessEntry(
                request_id=asked.request.request_id,
                tenant=asked.tenant.name,
                pack=receipt.pack,
                revision=receipt.revision,
                action=receipt.action,
                risk=receipt.risk,
                similarity=receipt.similarity,
                risky=asked.tenant.is_risky(receipt.risk),
                steered_tokens=len(receipt.dose),
                status=status,
                prompt_tokens=getattr(usage, "prompt_tokens", None),
                answer_tokens=getattr(usage, "completion_tokens", None),
                seconds=seconds,
                error=error,
                text=self._words(asked, said) if self._log.with_text else {},
            )
        )

    def _words(self, asked: Asked, said: str) -> dict[str, str]:
        """What is only written down where the server was told to."""
        assert asked.receipt is not None
        turns = stages.checked(plain(asked.request.messages))
        return {"prompt": stages.query(turns), "visual_context": asked.receipt.visual_context, "answer": said}

    def _passed_on(self, raw: Any, request: ChatCompletionRequest, wrong: ErrorResponse) -> ErrorResponse:
        """An error of vLLM's in one sentence, counted and logged like ours."""
        return self._error(raw, request, wrong.error.message, wrong.error.code, of_status(wrong.error.code))

    def _error(self, raw: Any, request: ChatCompletionRequest, message: str, code: int, reason: str) -> ErrorResponse:
        self._metrics.failed(reason)
        kinds = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 503: "ServiceUnavailable"}
        self._log.write(AccessEntry(request_id=request.request_id, status=code, error=reason))
        logged(getattr(raw, "state", None))
        kind = kinds.get(code, HTTPStatus(code).phrase)
        return ErrorResponse(error={"message": sentence(message), "type": kind, "code": code})


def plain(messages: Any) -> list[Any]:
    """Messages as plain values: pydantic keeps iterables as they came, and unchecked, until somebody reads them.

    Raises InputError for a part that is none.
    """
    found = []
    for message in messages:
        value = dict(message) if not hasattr(message, "model_dump") else message.model_dump(exclude_none=True)
        content = value.get("content")
        if content is not None and not isinstance(content, str):
            try:
                value["content"] = list(content)
            except ValueError:
                raise InputError("a part of a message must be a text or an image_url; one is neither") from None
        found.append(value)
    return found
