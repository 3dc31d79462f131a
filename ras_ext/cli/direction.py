"""``ras-ext export`` and ``import-direction``: plain steering vectors for other tools, and from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs

_LAYER = typer.Option("--layer", min=0, help="Decoder layer, from 0.", show_default="the nearest to where it was taken")


def export(
    pack: options.Pack,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="*.gguf for llama.cpp, *.safetensors for others.", show_default=False),
    ],
    kind: Annotated[str, typer.Option("--kind", help="refusal, prototype or unsafe.")] = "refusal",
    layer: Annotated[int | None, _LAYER] = None,
    registry: options.Registry = None,
    json: options.Json = False,
) -> None:
    """Write a direction of a pack as a plain steering vector. It has no risk score: it pulls every request alike."""
    with speaking(json) as say:
        from ras_ext.registry import direction_of, open_pack, write_gguf, write_safetensors

        writers = {".gguf": write_gguf, ".safetensors": write_safetensors}
        if file.suffix not in writers:
            raise typer.BadParameter(f"{file} must end in .gguf or .safetensors", param_hint="FILE")
        direction = direction_of(open_pack(pack, registry=registry), kind, layer=layer)
        writers[file.suffix](direction, file)
        found = {
            "file": str(file),
            "kind": direction.kind,
            "layers": list(direction.layers),
            "hidden_size": direction.hidden_size,
            "model_hint": direction.model_hint,
            "notes": direction.notes,
        }

        def show() -> None:
            layers = ", ".join(map(str, direction.layers))
            what = f"{direction.kind}, layer {layers}, {direction.hidden_size} numbers, for {direction.model_hint}"
            show_pairs([("file", str(file)), ("direction", what), ("mind", direction.notes)])

        say.result(found, show)


def import_direction(
    pack: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a pack.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A *.gguf or *.safetensors file.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new pack.", show_default=False)],
    layer: Annotated[int | None, typer.Option("--layer", min=0, help="Which layer of the file to take.")] = None,
    json: options.Json = False,
) -> None:
    """Make a new pack whose unsafe direction is a plain steering vector of another tool."""
    with speaking(json) as say:
        from ras_ext.registry import import_direction as bring_in

        made = bring_in(pack, file, out, layer=layer)
        said = made.config["calibration"]["imported_direction"]
        found = {"out": str(made.path), "digest": made.digest, "imported_direction": said}
        say.result(found, lambda: show_pairs([("pack", str(made.path)), *((k, str(v)) for k, v in said.items())]))
