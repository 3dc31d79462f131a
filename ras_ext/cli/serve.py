"""``ras-ext serve``: vLLM's OpenAI-compatible server with the defence on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.opening import model_of, need_pack
from ras_ext.cli.output import speaking

if TYPE_CHECKING:
    from ras_ext.serve.packs import Held

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def serve(
    context: typer.Context,
    model: options.Model,
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            "--vectors",
            metavar="NAME[@REV]",
            help="Steering vectors; repeatable, the first is the default.",
            show_default="the pack of that name, where MODEL is built in or an alias",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="A schedule of the packs: paper, auto.", show_default="each pack's own"),
    ] = None,
    carrier: Annotated[
        str, typer.Option("--carrier", help="How the dose is carried: logits, state, or auto for what is exact.")
    ] = "auto",
    look: Annotated[
        str, typer.Option("--context", help="Look at the image before judging: always or never.")
    ] = "always",
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Thresholds, tenants, keys.", show_default=False)
    ] = None,
    access_log: Annotated[
        Path | None,
        typer.Option(
            "--access-log", metavar="FILE", help="One JSON line a request.", show_default="stdout; stderr with --json"
        ),
    ] = None,
    log_text: Annotated[bool, typer.Option("--log-text", help="Prompts and answers in the access log too.")] = False,
    admin_key_file: Annotated[
        Path | None,
        typer.Option(
            "--admin-key-file", metavar="FILE", help="Holds the key of /ras/.", show_default="RAS_EXT_ADMIN_KEY"
        ),
    ] = None,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", min=1, help="Largest request, in MiB.")] = 32,
    test_every: Annotated[float, typer.Option("--test-every", min=1, help="Seconds between self-tests.")] = 30.0,
    registry: options.Registry = None,
    require_signature: options.RequireSignature = False,
    trusted_key: options.TrustedKeys = None,
    trust: options.Trust = None,
    lock: options.Lock = None,
    json: options.Json = False,
) -> None:
    """Serve MODEL, defended. All other options are vLLM's (`vllm serve --help`): --port, --tensor-parallel-size …"""
    with speaking(json) as out:
        names = vectors or [need_pack(model, None)]
        signed = options.signatures(require_signature, trusted_key, trust)
        from ras_ext.errors import InputError
        from ras_ext.models.load import locate
        from ras_ext.serve.packs import load
        from ras_ext.serve.server import app

        args = app.arguments(locate(model_of(model)), context.args)
        if args.served_model_name is None:
            args.served_model_name = [model]
        try:
            key = admin_key_file.read_text().strip() if admin_key_file else os.environ.get("RAS_EXT_ADMIN_KEY")
        except OSError as error:
            raise InputError(f"the admin key cannot be read: {error}") from None

        def fetch(refresh: bool) -> list[Held]:
            asked = {"registry": registry, "lock": lock, "refresh": refresh, **signed}
            return [load(name, schedule=schedule, **asked) for name in names]

        def announce(found: dict[str, Any]) -> None:
            out.write_now(found)
            out.note(f"{found['status']}: {found['url']} with {', '.join(found['packs'])}")

        settings = app.Settings(
            fetch=fetch,
            carrier=carrier,
            context=look,
            policy=policy,
            access_log=access_log,
            log_text=log_text,
            admin_key=key or None,
            most=max_body_mb << 20,
            every=test_every,
            announce=announce,
        )
        app.serve(args, settings)
