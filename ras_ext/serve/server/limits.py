"""The size of what comes in, and the receipt's header on what goes out; plain ASGI, round every other middleware."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ras_ext.serve.receipt import Receipt

HEADER = b"x-ras"
_STATE, _LOGGED = "ras_receipt", "ras_logged"
LOGGED_PATH = "/v1/chat/completions"
GONE = 499  # as proxies write down a client that did not wait


def note(state: Any, receipt: Receipt) -> None:
    """Puts a receipt where the response's header is made of it; `state` is the request's."""
    setattr(state, _STATE, receipt.to_header())


def logged(state: Any) -> None:
    """Says that the access log has the line of a request already; `state` is the request's."""
    if state is not None:
        setattr(state, _LOGGED, True)


class Limits:
    """Refuses bodies above `most` bytes with a 413, whatever they say of their length; adds the header.

    Args:
        unlogged: told the status of every chat request that the handler did not log: it never came so far.
    """

    def __init__(self, app: Any, most: int, unlogged: Callable[[int], None] | None = None) -> None:
        self._app, self._most, self._unlogged = app, most, unlogged

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})

        async def watched(message: Any) -> None:
            # Before it is sent, so that whoever has an answer finds its line.
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._log(scope, message["status"])
            await send(message)

        try:
            await self._limited(scope, receive, watched)
        finally:
            self._log(scope, GONE)

    def _log(self, scope: Any, status: int) -> None:
        chat = scope["method"] == "POST" and scope["path"].rstrip("/").endswith(LOGGED_PATH)
        if chat and self._unlogged is not None and not scope["state"].get(_LOGGED):
            scope["state"][_LOGGED] = True
            self._unlogged(status)

    async def _limited(self, scope: Any, receive: Any, send: Any) -> None:
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self._most:
            await self._refuse(send)
            return
        taken, refused = 0, False

        async def counted() -> Any:
            nonlocal taken, refused
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def stamped(message: Any) -> None:
            if refused:
                return
            found = scope.get("state", {}).get(_STATE)
            if message["type"] == "http.response.start" and found:
                message = {**message, "headers": [*message["headers"], (HEADER, found.encode("ascii", "replace"))]}
            await send(message)

        try:
            await self._app(scope, counted, stamped)
        except Exception:
            if not refused:
                raise
        if refused:
            await self._refuse(send)

    async def _refuse(self, send: Any) -> None:
        said = f"the request is larger than the {self._most} bytes that are taken here; send smaller images"
        body = json.dumps({"error": {"message": said, "type": "Request Entity Too Large", "code": 413}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
