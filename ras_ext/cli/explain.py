"""``ras-ext explain``: where in an image the risk is, or how well each layer tells safe from unsafe requests."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.files import read_queries
from ras_ext.cli.opening import need_pack, open_model
from ras_ext.cli.output import Output, speaking
from ras_ext.cli.progress import Watch
from ras_ext.cli.tables import show_pairs, show_table


def explain(
    model: options.Model,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="The image.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="The question.", show_default=False)] = None,
    layers: Annotated[
        bool,
        typer.Option("--layers", help="How well each layer tells the requests of --data apart, instead of an image."),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="JSONL file of labelled requests: for --layers, or to calibrate heads and regions here and now, "
            "with the queries of --unsafe and --safe.",
            show_default=False,
        ),
    ] = None,
    unsafe: options.Unsafe = None,
    safe: options.Safe = None,
    vectors: options.Vectors = None,
    side: Annotated[int, typer.Option("--side", min=1, help="Regions down and across, at most.")] = 4,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the picture and the JSON file.")] = Path(
        "ras-ext-explain"
    ),
    batch_size: options.BatchSize = 16,
    revision: options.Revision = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    json: options.Json = False,
) -> None:
    """Show where in an image the words look and the risk is, before and after reformulation; or layer by layer."""
    with speaking(json) as say:
        pack = need_pack(model, vectors)
        if layers and data is None:
            raise typer.BadParameter("the layers are judged by labelled requests; give a FILE", param_hint="--data")
        if layers and (image is not None or text is not None):
            raise typer.BadParameter(
                "the layers are judged by --data alone; leave --image and --text out", param_hint="--layers"
            )
        if not layers and (image is None or text is None):
            raise typer.BadParameter("an image and a question are explained; give both", param_hint="--image, --text")
        from ras_ext.items import load_items
        from ras_ext.loading import load_vectors

        items = load_items(data) if data else None
        texts = {name: read_queries(file) if file else None for name, file in (("unsafe", unsafe), ("safe", safe))}
        loaded, processor = open_model(model, revision=revision, device=device, dtype=dtype)
        found = load_vectors(pack, model=loaded, processor=processor)
        if layers:
            assert items is not None
            value, picture = _layers(loaded, processor, found, items, batch_size)
        else:
            assert image is not None
            assert text is not None
            value, picture = _regions(loaded, processor, found, items, texts, image, text, side, batch_size, say)
        name = "layers" if layers else "explanation"
        value = {"picture": str(out / f"{name}.png"), **value}
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.png").write_bytes(picture)
        written = json_format.dumps({**value, "picture": f"{name}.png"}, ensure_ascii=False, indent=2)
        (out / f"{name}.json").write_text(written + "\n", encoding="utf-8")
        say.result(value, lambda: _show(value, layers))


def _layers(model: Any, processor: Any, vectors: Any, items: Any, batch_size: int) -> tuple[dict[str, Any], bytes]:
    from ras_ext.explaining import draw_layers, layer_separation

    with Watch() as watch:
        found = layer_separation(model, processor, items, vectors.prompts, batch_size=batch_size, progress=watch)
    return {**found.to_dict(), "vectors": vectors.id}, draw_layers(found)


def _regions(
    model: Any,
    processor: Any,
    vectors: Any,
    items: Any,
    texts: dict[str, Any],
    image: Path,
    text: str,
    side: int,
    batch_size: int,
    say: Output,
) -> tuple[dict[str, Any], bytes]:
    from ras_ext.conversation import load_image
    from ras_ext.explaining import draw_explanation, explain
    from ras_ext.guard import Guard

    picture = load_image(image)
    if items is not None:
        from ras_ext.calibration import with_regions

        before = tuple(vectors.calibration.get("warnings", ()))
        vectors = with_regions(model, processor, vectors, items, **texts, batch_size=batch_size)
        for warning in vectors.calibration["warnings"]:
            if warning not in before:
                say.note(f"warning: {warning}")
    found = explain(Guard(model, processor, vectors), picture, text, side=side)
    if found.remark:
        say.note(found.remark)
    return found.to_dict(), draw_explanation(found, picture)


def _show(value: dict[str, Any], layers: bool) -> None:
    if layers:
        ratio = value["ratio"]
        rows = [[str(layer), *(f"{ratio[c][layer]:.3f}" for c in ratio)] for layer in range(len(ratio["original"]))]
        show_table(["layer", *ratio], rows, "Fisher discriminant ratio of safe and unsafe requests")
    else:
        before, after = value["before"], value["after"]
        pairs = [("risk", f"{value['risk']:.4f}"), ("seen in the image", value["visual_context"] or "–")]
        for name, view in (("before", before), ("after", after)):
            strongest = _strongest(view["density"])
            pooled = "" if view["pooled"] is None else f", risk where it looks {view['pooled']:.3f}"
            pairs.append((name, f"attention {view['mass']:.3f}, most in {strongest}{pooled}"))
        heads = ", ".join(f"{layer}.{head}" for layer, head in value["heads"])
        pairs.append(
            ("heads", f"{heads} ({'calibrated' if value['heads_from'] == 'pack' else 'chosen for this image'})")
        )
        show_pairs(pairs)
    typer.echo(f"picture: {value['picture']}")


def _strongest(rows: Any) -> str:
    cells = [(value, y, x) for y, line in enumerate(rows) for x, value in enumerate(line)]
    _, y, x = max(cells)
    return f"row {y + 1} of {len(rows)}, column {x + 1} of {len(rows[0])}"
