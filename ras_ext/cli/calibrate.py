"""``ras-ext calibrate``: makes a pack of steering vectors for a model, from forward passes alone."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.files import read_prompts, read_queries
from ras_ext.cli.opening import model_of, open_model, public_name
from ras_ext.cli.output import speaking
from ras_ext.cli.progress import Watch
from ras_ext.cli.push import show_pushed
from ras_ext.cli.tables import show_pairs

if TYPE_CHECKING:
    from ras_ext.vectors import SteeringVectors


def calibrate(
    model: options.Model,
    unsafe: options.Unsafe = None,
    safe: options.Safe = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="FILE",
            help="JSONL file of labelled image requests, for the baseline.",
            show_default="the queries, written into images",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="JSON file of prompts.", show_default="English ones"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the pack.", show_default="the pack's name"),
    ] = None,
    schedule: Annotated[
        str, typer.Option("--schedule", help="paper: three tokens; auto: also as many as the evidence asks for.")
    ] = "auto",
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the pack.", show_default="after the model")
    ] = None,
    push_to: Annotated[
        str | None,
        typer.Option(
            "--push-to", metavar="TARGET", help="Publish the pack there afterwards: owner/name, or a folder registry."
        ),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign what is published.", show_default=False)
    ] = None,
    license: Annotated[
        str | None,
        typer.Option("--license", metavar="NAME", help="The pack's licence, such as apache-2.0.", show_default="none"),
    ] = None,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions/--no-regions",
            help="With --images, also find the attention heads and the token risk that `ras-ext explain` shows.",
        ),
    ] = True,
    batch_size: options.BatchSize = 16,
    max_new_tokens: options.MaxNewTokens = 64,
    revision: options.Revision = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    json: options.Json = False,
) -> None:
    """Calibrate steering vectors for a model: forward passes only, nothing is trained. Writes a pack."""
    with speaking(json) as say:
        if schedule not in ("paper", "auto"):
            raise typer.BadParameter(f"{schedule!r} is no schedule; give paper or auto", param_hint="--schedule")
        if sign and not push_to:
            raise typer.BadParameter("a signature goes with what is published; give --push-to", param_hint="--sign")
        start = time.perf_counter()
        called = name or _name_after(model_of(model))
        from ras_ext.registry import check_target
        from ras_ext.registry.publishing import push, target_of
        from ras_ext.registry.schema import LICENSE_LIMIT, LICENSE_RULE, is_license

        if license is not None and not is_license(license):
            rule = f"{LICENSE_RULE} of at most {LICENSE_LIMIT} characters"
            raise typer.BadParameter(f"{license!r} is no licence; give {rule}", param_hint="--license")
        folder = check_target(out or Path(called))
        if push_to:
            target_of(push_to, called)  # before the long work, not after it
        bad = read_queries(unsafe) if unsafe else None
        good = read_queries(safe) if safe else None
        import ras_ext
        from ras_ext.items import load_items

        labelled = load_items(images) if images else None
        said = read_prompts(prompts) if prompts else None
        loaded, processor = open_model(model, revision=revision, device=device, dtype=dtype)
        with Watch() as watch:
            vectors = ras_ext.calibrate(
                loaded,
                processor,
                unsafe=bad,
                safe=good,
                images=labelled,
                prompts=said,
                schedule=schedule,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                progress=watch,
                name=called,
                base_model=public_name(model),
                license=license,
                regions=regions,
            )
        saved = vectors.save(folder)
        summary = _summary(vectors, saved, time.perf_counter() - start)
        if push_to:
            say.note(f"the pack lies in {saved}; publishing it as {push_to}")
            summary["pushed"] = push(saved, push_to, sign_key=sign).to_dict()
        say.result(summary, lambda: _show(summary, model))


def _name_after(model: str) -> str:
    last = Path(model).resolve().name if Path(model).is_dir() else re.split(r"[/:]", model)[-1]
    return re.sub(r"[^\w.-]+", "-", last, flags=re.ASCII).strip("._-")[:80] + "-vectors"


def _summary(vectors: SteeringVectors, folder: Path, seconds: float) -> dict[str, Any]:
    record = vectors.calibration
    return {
        "out": str(folder),
        "id": vectors.id,
        "s_base": vectors.s_base,
        "alpha": vectors.alpha,
        "gamma": vectors.gamma,
        "n_tokens": vectors.n_tokens,
        "schedule": vectors.schedule,
        "schedules": {name: entry.n_tokens for name, entry in vectors.schedules.items()},
        "similarity_unsafe": list(record["similarity_unsafe"]),
        "similarity_safe": list(record["similarity_safe"]),
        "source": record["source"],
        "warnings": list(record.get("warnings", ())),
        "seconds": seconds,
    }


def _show(summary: dict[str, Any], model: str) -> None:
    unsafe, safe = summary["similarity_unsafe"], summary["similarity_safe"]
    steered = ", ".join(f"{n} ({name})" for name, n in summary["schedules"].items())
    show_pairs(
        [
            ("pack", f"{summary['out']} ({summary['id']})"),
            ("baseline S_base", f"{summary['s_base']:.4f}, read from {summary['source']}"),
            ("slope α", f"{summary['alpha']:.3f}"),
            ("steered tokens", steered),
            ("similarity, unsafe", f"mean {unsafe[0]:.4f}, lowest {unsafe[1]:.4f}"),
            ("similarity, safe", f"mean {safe[0]:.4f}, highest {safe[1]:.4f}"),
            ("time", f"{summary['seconds']:.1f} s"),
        ]
    )
    for warning in summary["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    if "pushed" in summary:
        show_pushed(summary["pushed"])
    typer.echo(f'next: ras-ext ask {model} --vectors {summary["out"]} --image FILE --text "..."')
