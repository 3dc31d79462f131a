"""``ras-ext list``, ``search`` and ``history``: which packs there are, here and elsewhere, and how one came to be."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_table


def list_packs(registry: options.Registry = None, json: options.Json = False) -> None:
    """List the packs on this machine, or those of a folder registry."""
    with speaking(json) as say:
        from ras_ext.registry import list_packs as listed
        from ras_ext.registry.names import registry_in_force

        found = [entry.to_dict() for entry in listed(registry_in_force(registry))]
        say.result({"packs": found}, lambda: _show(found, "No packs here yet; `ras-ext search` looks on the Hub."))


def search(
    query: Annotated[str | None, typer.Argument(help="Words of the name.", show_default=False)] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", metavar="ID", help="Hub id of the model they are for.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose packs.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Tag on the Hub, such as license:mit; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    registry: options.Registry = None,
    json: options.Json = False,
) -> None:
    """Search for packs on the Hub, or in a folder registry."""
    with speaking(json) as say:
        from ras_ext.registry import search as searched

        found = [
            entry.to_dict()
            for entry in searched(
                query, base_model=base_model, owner=owner, tags=tuple(tag or ()), limit=limit, registry=registry
            )
        ]
        say.result({"packs": found}, lambda: _show(found, "No pack fits."))


def history(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="A Hub name, alias or address.", show_default=False)],
    registry: options.Registry = None,
    json: options.Json = False,
) -> None:
    """Show the versions of a pack, newest first."""
    with speaking(json) as say:
        from ras_ext.registry import history as states

        found = [entry.to_dict() for entry in states(pack, registry=registry)]
        rows = [(e["revision"][:12], " ".join(e["tags"]), e["title"], (e["date"] or "")[:19]) for e in found]
        say.result(
            {"name": pack, "versions": found},
            lambda: show_table(("revision", "version", "title", "when"), rows, f"History of {pack}"),
        )


def _show(found: list[dict[str, Any]], nothing: str) -> None:
    if not found:
        typer.echo(nothing)
        return
    rows = [
        (
            entry["name"],
            entry["base_model"] or "–",
            " ".join(entry["tags"]) or (entry["revision"] or "")[:12] or "–",
            (entry["date"] or "–")[:10],
            entry["source"],
        )
        for entry in found
    ]
    show_table(("pack", "for the model", "version", "date", "from"), rows)
