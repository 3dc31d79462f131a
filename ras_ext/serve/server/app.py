"""vLLM's OpenAI server started with the defence: its own engine, its own routes less those that nobody defends."""

from __future__ import annotations

import asyncio
import os
import socket
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ras_ext.errors import InputError, ModelError, RasExtError
from ras_ext.registry.errors import in_one_line
from ras_ext.serve.opening import engine_settings
from ras_ext.serve.packs import Held
from ras_ext.serve.server.watch import EVERY, Watch

# Of vLLM's limits those that are too wide for clients whom nobody knows; the operator's own setting stays.
_LIMITS = {
    "VLLM_MAX_IMAGE_PIXELS": "50000000",  # decoded, 150 MB
    "VLLM_MAX_N_SEQUENCES": "128",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",  # an allowed host must not send us to another
}
# Of vLLM's routes those that write nothing, and the one that is defended.
KEPT = frozenset({
    "/v1/chat/completions", "/v1/models", "/version", "/ping", "/load", "/metrics", "/tokenize", "/detokenize",
    "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json",
})  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What `ras-ext serve` was asked for besides vLLM's own options.

    Attributes:
        fetch: resolves the packs, the first time and on a reload; its argument says whether to ask for newer ones.
        policy, access_log: files, or None.
        most: bytes of a request's body.
        announce: called once with the address and the packs, when requests are answered.
    """

    fetch: Callable[[bool], Sequence[Held]]
    carrier: str = "auto"
    context: str = "always"
    policy: Path | None = None
    access_log: Path | None = None
    log_text: bool = False
    admin_key: str | None = None
    most: int = 32 << 20
    every: float = EVERY
    announce: Callable[[dict[str, Any]], None] | None = None


def arguments(model: str, options: Sequence[str]) -> Namespace:
    """vLLM's arguments with the defence's. Raises InputError for options under which it would not act.

    A wrong option ends the process as vLLM does: with its usage and exit code 2.
    """
    for name, value in _LIMITS.items():
        os.environ.setdefault(name, value)
    engine_settings()  # before vLLM is imported for good: is it here, and of a version that was run
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args = make_arg_parser(FlexibleArgumentParser(prog="ras-ext serve")).parse_args([model, *options])
    args.model = model
    _refuse(args)
    for name, value in engine_settings(
        speculative_config=args.speculative_config,
        worker_extension_cls=args.worker_extension_cls,
        logprobs_mode=args.logprobs_mode,
        logits_processors=args.logits_processors,
    ).items():
        setattr(args, name, value)
    args.trust_request_chat_template = False
    validate_parsed_serve_args(args)
    return args


def _refuse(args: Namespace) -> None:
    """Raises InputError for what would leave a way past the defence."""
    if (args.api_server_count or 1) > 1:
        raise InputError("one server process judges all requests; start more servers in place of --api-server-count")
    for name, why in (
        ("enable_lora", "an adapter makes another model of it, for which the vectors were not made"),
        ("lora_modules", "an adapter makes another model of it, for which the vectors were not made"),
        ("trust_request_chat_template", "the template decides what is judged"),
        ("data_parallel_multi_port_external_lb", "it starts servers of vLLM's own"),
        ("grpc", "only HTTP is defended"),
    ):
        if getattr(args, name, None):
            raise InputError(f"--{name.replace('_', '-')} is not served: {why}; leave it out")


def serve(args: Namespace, settings: Settings) -> None:
    """Runs the server until it is told to end; with ``--headless`` engines that a server elsewhere commands."""
    import uvloop
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup

    cli_env_setup()
    if args.headless:
        from vllm.entrypoints.cli.serve import run_headless

        args.api_server_count = 0
        run_headless(args)
        return
    uvloop.run(_run(args, settings))


async def _run(args: Namespace, settings: Settings) -> None:
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
    from vllm.entrypoints.launchers.launcher import serve_http, setup_server

    from ras_ext.serve.server.policy import default_policy, load_policy

    policy = default_policy() if settings.policy is None else load_policy(settings.policy)
    held = list(settings.fetch(False))
    policy.check_packs([one.name for one in held])
    address, sock = setup_server(args, reuse_port=False)
    ending = None
    try:
        async with build_async_engine_client(args) as engine:
            try:
                app, defence = await application(engine, args, settings, policy, held)
            except RasExtError:
                raise
            except Exception as error:
                raise ModelError(f"the engine cannot be defended: {in_one_line(error)}") from error
            beside = [asyncio.create_task(defence.watch.run())]
            if (announce := settings.announce) is not None:
                names = [one.vectors.id for one in held]
                found = {"url": address, "status": defence.state(), "packs": names}
                beside.append(asyncio.create_task(_once_it_listens(sock, partial(announce, found))))
            ending = await serve_http(
                app,
                sock=sock,
                enable_ssl_refresh=args.enable_ssl_refresh,
                host=args.host,
                port=args.port,
                log_level=args.uvicorn_log_level,
                access_log=False,  # ours is structured, and without what was asked
                ssl_keyfile=args.ssl_keyfile,
                ssl_certfile=args.ssl_certfile,
                ssl_ca_certs=args.ssl_ca_certs,
                ssl_cert_reqs=args.ssl_cert_reqs,
                ssl_ciphers=args.ssl_ciphers,
                h11_max_incomplete_event_size=args.h11_max_incomplete_event_size,
                h11_max_header_count=args.h11_max_header_count,
            )
            for task in beside:
                task.cancel()
    finally:
        if ending is not None:
            await ending
        sock.close()


async def _once_it_listens(sock: socket.socket, announce: Callable[[], None]) -> None:
    while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        await asyncio.sleep(0.02)
    announce()


async def application(
    engine: Any, args: Namespace, settings: Settings, policy: Any, held: Sequence[Held]
) -> tuple[Any, Any]:
    """vLLM's application with the defended handler in it, and the state of the defence."""
    import vllm.envs as envs
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.renderers.chat_utils import load_chat_template

    from ras_ext.serve.online import AsyncGuard
    from ras_ext.serve.server import admin, sentences
    from ras_ext.serve.server.access_log import AccessEntry, AccessLog
    from ras_ext.serve.server.chat import DefendedChat
    from ras_ext.serve.server.limits import Limits
    from ras_ext.serve.server.metrics import Metrics
    from ras_ext.serve.server.pictures import Pictures
    from ras_ext.serve.server.reasons import of_status
    from ras_ext.serve.server.spelled import Spelled
    from ras_ext.serve.server.tokens import CheckedTokens

    guard = await AsyncGuard.over(
        engine,
        held,
        carrier=settings.carrier,
        context=settings.context,
        chat_template=load_chat_template(args.chat_template),
    )
    tasks = await engine.get_supported_tasks()
    app = build_app(args, tasks, engine.model_config)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) in KEPT]
    app.include_router(admin.router)
    sentences.install(app)
    await init_app_state(engine, app.state, args, tasks)
    metrics = Metrics()
    metrics.packs(len(held))
    watch = Watch(guard, every=settings.every, on_change=metrics.defended)
    watch.passed()  # the guard was made by a self-test
    defence = admin.Defence(guard, watch, policy, metrics, lambda: settings.fetch(True), settings.admin_key)
    app.state.ras = defence
    log = AccessLog(settings.access_log, with_text=settings.log_text)
    config = engine.model_config
    image = [getattr(config.hf_config, name, None) for name in ("image_token_index", "image_token_id")]
    pictures = Pictures(
        domains=config.allowed_media_domains or (),
        folder=config.allowed_local_media_path,
        most=envs.VLLM_MAX_IMAGE_PIXELS,
    )
    app.state.serving_tokenization = CheckedTokens(app.state.serving_tokenization, pictures)
    app.state.openai_serving_chat = DefendedChat(
        app.state.openai_serving_chat,
        guard,
        policy,
        watch=watch,
        metrics=metrics,
        log=log,
        pictures=pictures,
        spelled=Spelled.of(engine.get_tokenizer(), *image),
    )

    def unlogged(status: int) -> None:
        metrics.failed(of_status(status))
        log.write(AccessEntry(request_id="-", status=status, error=of_status(status)))

    # vLLM has put its middlewares together by now, without our sentences; ours goes round them all.
    app.middleware_stack = Limits(app.build_middleware_stack(), settings.most, unlogged)
    return app, defence
