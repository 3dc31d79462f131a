"""The studio's door: who comes in, to which paths, from which pages, with how much. Plain ASGI, in front of Gradio.

Everything that the page does not need is closed, so that what Gradio adds one day is closed as well.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from ras_ext.studio import named_files
from ras_ext.studio.uploads import Uploads

Scope = dict
Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]

USER = "studio"
MOST_BYTES = 32 << 20  # of one request: an upload's files with what goes round them
_UPLOAD, _EVENT = "/gradio_api/upload", "/gradio_api/queue/join"
_WRONG = 1.0  # seconds that a wrong password waits for its answer
_OPEN = re.compile(
    r"/(?:|config|manifest\.json|favicon\.ico|theme\.css|robots\.txt"
    r"|(?:assets|static|svelte)/[\w./@-]*"
    r"|gradio_api/(?:queue/(?:join|data)|upload|upload_progress|heartbeat/\w+|cancel|reset|app_id|startup-events))"
)
# Gradio's page has inline scripts and styles of its own; nothing may come from, or go, elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; media-src 'none'; object-src 'none'; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Door:
    """ASGI middleware.

    Args:
        app: what is behind it.
        password: asked for by the browser (HTTP Basic, user ``studio``); None lets everybody in who gets here.
        hosts: names this studio may be called by; another one means that a foreign page had its name resolve to this
            machine. None takes any.
        uploads: what was sent; events may name no other files, and no more is taken than it has room for.
    """

    def __init__(
        self,
        app: Callable,
        *,
        password: str | None = None,
        hosts: tuple[str, ...] | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._app, self._hosts, self._uploads = app, hosts, uploads
        self._pass = None if password is None else base64.b64encode(f"{USER}:{password}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        status, said = self._verdict(scope, headers)
        if status == 401 and b"authorization" in headers:
            await asyncio.sleep(_WRONG)
        if status != 200:
            await _refuse(send, status, said)
            return
        if self._uploads is not None and scope["path"] == _UPLOAD and await asyncio.to_thread(self._uploads.is_full):
            await _refuse(
                send, 507, "others are sending files, and there is room for no more; try again in some minutes"
            )
            return
        if self._uploads is not None and scope["path"] == _EVENT:
            body = await _whole(receive, named_files.MOST_BYTES)
            if len(body) > named_files.MOST_BYTES:
                await _refuse(send, 413, f"an event may have {named_files.MOST_BYTES:,} bytes; ask something shorter")
                return
            if said := named_files.wrong(body, self._uploads.arriving):
                await _refuse(send, 400, said)
                return
            receive = _again(body, receive)
        await self._app(scope, _bounded(receive), _guarded(send))

    def _verdict(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str]:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 421, f"this studio is not called {_name(host)[:80]!r}; open the address it printed"
        if self._pass is not None:
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            if kind.lower() != b"basic" or not hmac.compare_digest(given.strip(), self._pass):
                return 401, f"a password is needed; the user is {USER!r}"
        if not _OPEN.fullmatch(scope["path"]) or ".." in scope["path"]:
            return 404, "there is nothing here"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, f"{scope['method']} is not used here"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and _site(origin) != host:
            return 403, "another site's page may not use this studio"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 413, f"a request may have {MOST_BYTES:,} bytes; send smaller files"
        return 200, ""


def _name(host: str) -> str:
    """The host without its port."""
    return re.sub(r":\d+$", "", host).lower()


def _site(origin: str) -> str | None:
    """Host and port of an origin; None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _bounded(receive: Receive) -> Receive:
    """Ends a request that is longer than it said."""
    taken = 0

    async def counted() -> dict:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > MOST_BYTES else message

    return counted


async def _whole(receive: Receive, most: int) -> bytes:
    """A request's body, of which no more is read than goes beyond `most`."""
    body, more = b"", True
    while more and len(body) <= most:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already to who reads it next."""
    given = False

    async def replayed() -> dict:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _guarded(send: Send) -> Send:
    async def stamped(message: dict) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return stamped


async def _refuse(send: Send, status: int, said: str) -> None:
    body = (said + "\n").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="ras-ext studio", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
