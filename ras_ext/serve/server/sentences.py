"""What the web framework finds wrong with a request, as one sentence in the form of OpenAI's errors."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ras_ext.registry.errors import in_one_line

_LONGEST = 400  # characters of a sentence


def install(app: Any) -> None:
    """Puts these handlers in the place of those that `app` has."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def sentence(text: object) -> str:
    """One line that can be sent: no line ends, no halves of characters, not too long."""
    line = in_one_line(text) if isinstance(text, Exception) else " ".join(str(text).split())
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    return line.encode("utf-8", "backslashreplace").decode()


def of_validation(errors: Any) -> str:
    """The first of pydantic's errors, as a sentence."""
    given = list(errors)
    # Of a field that may be several things, pydantic tells of each; that it is no text helps nobody who sent a list.
    closer = (one for one in given if isinstance(one, Mapping) and not str(one.get("type")).endswith("_type"))
    first = next(closer, given[0] if given else None)
    if not isinstance(first, Mapping):
        return sentence(first or "the request cannot be understood")
    said = str(first.get("msg", "")).removeprefix("Value error, ")
    place = [str(step) for step in first.get("loc", ()) if step != "body"]
    if first.get("type") == "json_invalid":
        why = (first.get("ctx") or {}).get("error", said)
        return sentence(f"the body is no JSON ({why} at character {place[0] if place else 0}); send one JSON object")
    if not place:
        if first.get("type") == "missing":
            return "the request has no body; send one JSON object, as application/json"
        return sentence(f"the body cannot be understood ({said}); send one JSON object")
    if place[0] == "messages" and len(place) > 1:
        # For a message pydantic tries every form there is, and tells of each what is missing.
        return sentence(f"messages[{place[1]}] is no message; it must be an object with a role and content")
    if first.get("type") == "missing":
        return sentence(f"the field {place[0]!a} is missing; add it")
    return sentence(f"the field {place[0][:80]!a} is wrong: {said[:1].lower()}{said[1:]}{_got(first)}")


def _got(error: Mapping[str, Any]) -> str:
    value = error.get("input")
    return f", got {ascii(value)[:60]}" if isinstance(value, (str, int, float, type(None))) else ""


async def _invalid(request: Request, error: Any) -> JSONResponse:
    return _response(of_validation(error.errors()), 400)


async def _http(request: Request, error: Any) -> JSONResponse:
    said = {
        404: f"there is no {request.url.path[:80]} here",
        405: f"{request.url.path[:80]} does not take {request.method}",
    }.get(error.status_code, error.detail)
    return _response(sentence(said), error.status_code, getattr(error, "headers", None))


def _response(message: str, code: int, headers: Any = None) -> JSONResponse:
    body = {"error": {"message": message, "type": HTTPStatus(code).phrase, "code": code, "param": None}}
    return JSONResponse(body, status_code=code, headers=headers)
