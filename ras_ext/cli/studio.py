"""``ras-ext studio``: a local page to see the defence work, tune it and publish it."""

from __future__ import annotations

import os
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.opening import BUILTIN, model_of, need_pack, open_model
from ras_ext.cli.output import speaking

ORGANISM = "builtin:organism"
PASSWORD_VARIABLE = "RAS_EXT_STUDIO_PASSWORD"
_EXAMPLES = 8


def studio(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A model's folder, Hub id, alias, or builtin:organism.")
    ] = ORGANISM,
    vectors: options.Vectors = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", metavar="MODEL", help="Another model that can be chosen; repeatable.", show_default=False
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples", metavar="FILE", help="Items (JSONL) to pick from.", show_default="the organism's own"
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where packs and runs of this studio are kept.")
    ] = Path("ras-ext-studio"),
    host: Annotated[
        str, typer.Option("--host", help="Address to serve; others than this machine's need a password.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="Holds the password.", show_default=PASSWORD_VARIABLE),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Serve https with it (PEM).", show_default=False),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The certificate's private key.", show_default=False)
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Private key that packs may be signed with.", show_default=False),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    registry: options.Registry = None,
    require_signature: options.RequireSignature = False,
    trusted_key: options.TrustedKeys = None,
    trust: options.Trust = None,
    json: options.Json = False,
) -> None:
    """Open a local page: try the defence, tune it, calibrate, publish packs. Without MODEL: the built-in organism."""
    with speaking(json) as out:
        from ras_ext.studio.app import check_certificate, check_door, need_gradio, serve

        password = _password(password_file)
        check_door(host, password)
        check_certificate(*(None if file is None else str(file) for file in (certificate, key)))
        need_gradio()
        from ras_ext.studio.desk import Desk
        from ras_ext.studio.shelf import Shelf
        from ras_ext.studio.studio import Studio
        from ras_ext.studio.uploads import Uploads

        shelf = Shelf(folder)
        signatures = options.signatures(require_signature, trusted_key, trust)
        opens = partial(open_model, device=device, dtype=dtype)
        pack = need_pack(model, vectors)
        models = [model, *(also or [])]
        desk = Desk(models, shelf, opens=opens, places=_place, device=device, packs=[pack], **signatures)
        uploads = Uploads()
        try:
            found = Studio(
                desk,
                shelf,
                pack,
                uploads=uploads,
                examples=_examples(examples, model, uploads.folder),
                registry=registry,
                signing=sign,
                signatures=signatures,
            )
            desk.guard(desk.open(model), pack)  # what cannot be defended is said here and not on the page

            def announce(address: str) -> None:
                out.write_now({"url": address, "model": model, "vectors": pack, "folder": str(folder)})
                out.note(f"studio: {address}{' (user: studio)' if password else ''}; Ctrl+C ends it")
                if browser and not json:
                    webbrowser.open(address)

            serve(
                found,
                host=host,
                port=port,
                password=password,
                announce=announce,
                certificate=str(certificate) if certificate else None,
                key=str(key) if key else None,
            )
        finally:
            uploads.close()


def _place(name: str) -> str:
    from ras_ext.models.load import locate

    return locate(model_of(name))


def _password(file: Path | None) -> str | None:
    from ras_ext.errors import InputError

    if file is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the password cannot be read: {error}") from None


def _examples(file: Path | None, model: str, scratch: Path) -> list[Any]:
    """The items to pick from: those of a file, or some of the organism's world for the organism."""
    from ras_ext.items import load_items

    if file is not None:
        return load_items(file)
    if not model.startswith(BUILTIN):
        return []
    from ras_ext.organism.queries import write_set

    items = load_items(write_set("evaluation", scratch / "examples", count=60))
    kinds: dict[tuple[str, str], Any] = {}
    for item in items:
        if item.image is not None and not item.history:
            kinds.setdefault((item.kind, item.label), item)
    return list(kinds.values())[:_EXAMPLES]
