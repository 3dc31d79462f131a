"""What operators ask: is it defended, which packs does it hold, take those that were published since."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ras_ext.errors import RasExtError
from ras_ext.registry.errors import in_one_line
from ras_ext.serve.online import AsyncGuard
from ras_ext.serve.packs import Held
from ras_ext.serve.server.metrics import Metrics
from ras_ext.serve.server.policy import Policy
from ras_ext.serve.server.watch import Watch

router = APIRouter()


@dataclass
class Defence:
    """What the server's own endpoints need, kept as ``app.state.ras``.

    Attributes:
        fetch: resolves the packs the server was started with once more, asking where they come from.
        admin_key: what ``Authorization: Bearer`` must carry for ``/ras/``; None switches those endpoints off.
    """

    guard: AsyncGuard
    watch: Watch
    policy: Policy
    metrics: Metrics
    fetch: Callable[[], Sequence[Held]]
    admin_key: str | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def state(self) -> str:
        """``undefended`` after a failed self-test, else by the policy: ``defended``, ``observing`` or ``off``."""
        return str(self.policy.health()["state"]) if self.watch.defended else "undefended"


def _defence(request: Request) -> Defence:
    found: Defence = request.app.state.ras
    return found


def _error(message: str, code: int) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "Error", "code": code}}, status_code=code)


def _unknown(request: Request) -> JSONResponse | None:
    """An answer for who may not ask."""
    key = _defence(request).admin_key
    if key is None:
        return _error("the admin endpoints are off; start the server with --admin-key-file to use them", 403)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), key.encode()):
        return _error("the admin endpoints want the admin key, as Authorization: Bearer KEY", 401)
    return None


@router.get("/health", responses={503: {"description": "not defended, or the engine is dead"}})
async def health(request: Request) -> JSONResponse:
    """200 only while the engine lives and the last self-test was really steered."""
    ours = _defence(request)
    try:
        await request.app.state.engine_client.check_health()
    except Exception as error:
        return JSONResponse({"status": "dead", "why": in_one_line(error)}, status_code=503)
    state = ours.state()
    body = {**ours.policy.health(), "status": state, "why": ours.watch.why, "tested": ours.watch.tested}
    body.pop("state")
    return JSONResponse(body, status_code=503 if state == "undefended" else 200)


@router.get("/ras/packs", responses={401: {}, 403: {}})
async def packs(request: Request) -> JSONResponse:
    """The packs in use, the first of them the default."""
    if (no := _unknown(request)) is not None:
        return no
    held = _defence(request).guard.packs
    return JSONResponse({
        "carrier": held.carrier,
        "runner": held.runner,
        "packs": [
            {
                "name": one.name,
                "revision": one.revision,
                "id": one.vectors.id,
                "sha256": one.vectors.content_sha256,
                "schedule": one.vectors.schedule,
                "doses": list(one.vectors.doses),
                "alpha": one.vectors.alpha,
                "s_base": one.vectors.s_base,
                "base_model": one.vectors.base_model.id,
            }
            for one in held.held.values()
        ],
    })  # fmt: skip


@router.get("/ras/status", responses={401: {}, 403: {}})
async def status(request: Request) -> JSONResponse:
    """What every worker holds and has done."""
    if (no := _unknown(request)) is not None:
        return no
    ours = _defence(request)
    return JSONResponse({"status": ours.state(), "workers": await ours.guard.status()})


@router.post("/ras/packs/reload", responses={401: {}, 403: {}, 409: {}})
async def reload(request: Request) -> JSONResponse:
    """Takes what is published now under the names the server was started with. Answers under way keep theirs."""
    if (no := _unknown(request)) is not None:
        return no
    ours = _defence(request)
    async with ours.busy:
        before = {one.name: one.key for one in ours.guard.packs.held.values()}
        try:
            await ours.guard.take(await asyncio.to_thread(ours.fetch))
        except RasExtError as error:
            return _error(f"the packs stay as they were: {in_one_line(error)}", 409)
        ours.metrics.packs(len(ours.guard.packs.held))
        after = {one.name: one.key for one in ours.guard.packs.held.values()}
    changed = sorted(name for name, key in after.items() if before.get(name) != key)
    return JSONResponse({"changed": changed, "packs": sorted(after)})


@router.post("/ras/selftest", responses={401: {}, 403: {}, 503: {}})
async def selftest(request: Request) -> JSONResponse:
    """Makes a self-test now."""
    if (no := _unknown(request)) is not None:
        return no
    watch = _defence(request).watch
    defended = await watch.test()
    return JSONResponse({"defended": defended, "why": watch.why}, status_code=200 if defended else 503)
