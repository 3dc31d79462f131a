"""The size of what comes in, and the receipt's header on what goes out; plain ASGI, round every other middleware."""

from __future__ import annotations

import json
from typing import Any

from ras_ext.serve.receipt import Receipt

HEADER = b"x-ras"
_STATE = "ras_receipt"


def note(state: Any, receipt: Receipt) -> None:
    """Puts a receipt where the response's header is made of it; `state` is the request's."""
    setattr(state, _STATE, receipt.to_header())


class Limits:
    """Refuses bodies above `most` bytes with a 413, whatever they say of their length; adds the header."""

    def __init__(self, app: Any, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
