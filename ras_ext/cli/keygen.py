"""``ras-ext keygen``: a key pair to sign packs with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs


def keygen(
    name: Annotated[Path, typer.Argument(metavar="NAME", help="Writes NAME.key and NAME.pub.", show_default=False)],
    json: options.Json = False,
) -> None:
    """Make a key pair for signatures; with RAS_EXT_SIGNING_PASSWORD set the private key is locked with it."""
    with speaking(json) as say:
        from ras_ext.registry import make_key_pair

        private, public = name.with_name(name.name + ".key"), name.with_name(name.name + ".pub")
        make_key_pair(private, public)

        def show() -> None:
            show_pairs([("private key", f"{private} – keep it"), ("public key", f"{public} – give it to your users")])
            typer.echo(f"next: ras-ext push DIR TARGET --sign {private}")

        say.result({"private": str(private), "public": str(public)}, show)
