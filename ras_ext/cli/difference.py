"""``ras-ext diff``: two packs side by side – thresholds, prompts, evidence, and how far the prototypes turned."""

from __future__ import annotations

from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_table


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A pack: folder, alias, Hub name or address.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The pack to compare it with; name@v2 is another version.")],
    registry: options.Registry = None,
    json: options.Json = False,
) -> None:
    """Compare two packs: fields, files, and the cosines between their prototypes."""
    with speaking(json) as say:
        from ras_ext.registry import diff_packs, open_pack

        found = diff_packs(open_pack(a, registry=registry), open_pack(b, registry=registry))

        def show() -> None:
            typer.echo(f"{a}  →  {b}: {found.lines()[0]}")
            if found.same_digest:
                return
            changed = [entry.sides() for entry in found.fields]
            changed += [(path, old[:12], new[:12]) for path, old, new in (entry.sides() for entry in found.files)]
            if changed:
                show_table(("field", a, b), changed)
            show_table(("tensor", "what it is", "cosine by row"), [entry.cells() for entry in found.tensors])

        say.result({"a": a, "b": b, **found.to_dict()}, show)
