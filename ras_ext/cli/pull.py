"""``ras-ext pull``: fetches the newest state of a pack, checks it, and keeps it on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs


def pull(
    pack: options.Pack,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write it to this folder.", show_default=False),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit, branch or tag (v2).", show_default="the newest")
    ] = None,
    registry: options.Registry = None,
    lock: options.Lock = None,
    require_signature: options.RequireSignature = False,
    trusted_key: options.TrustedKeys = None,
    trust: options.Trust = None,
    json: options.Json = False,
) -> None:
    """Fetch the newest state of a pack. From then on its name means these bytes on this machine, without a network."""
    with speaking(json) as say:
        from ras_ext.registry import pull as fetch
        from ras_ext.registry.layout import read_signature

        opened = fetch(
            pack,
            out,
            revision=revision,
            registry=registry,
            lock=lock,
            **options.signatures(require_signature, trusted_key, trust),
        )
        found = {
            "name": pack,
            "path": str(opened.pack.path),
            "source": str(opened.source) if opened.source else None,
            "revision": opened.revision,
            "digest": opened.pack.digest,
            "base_model": opened.pack.config["base_model"]["id"],
            "signed": read_signature(opened.pack.path) is not None,
        }

        def show() -> None:
            show_pairs(
                [
                    ("pack", f"{opened.pack.config['name']} for {found['base_model']}"),
                    ("from", f"{found['source'] or 'this machine'}, revision {found['revision'] or '–'}"),
                    ("digest", opened.pack.digest),
                    ("signed", "yes" if found["signed"] else "no"),
                    ("lies in", found["path"]),
                ]
            )
            typer.echo(f'next: ras_ext.load_vectors("{pack if out is None else out}")')

        say.result(found, show)
