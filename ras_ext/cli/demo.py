"""``ras-ext demo``: the whole road on the built-in model organism, with a table and a report to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.evaluate import ITEMS, REPORT
from ras_ext.cli.opening import open_model
from ras_ext.cli.output import speaking
from ras_ext.cli.progress import Watch
from ras_ext.cli.tables import show_rows

ORGANISM = "builtin:organism"
_QUICK = 96


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the data, answers and report.")] = Path(
        "ras-ext-demo"
    ),
    items: Annotated[int, typer.Option("--items", min=24, help="Requests, half of them unsafe.")] = 360,
    batch_size: options.BatchSize = 32,
    quick: Annotated[bool, typer.Option("--quick", help=f"{_QUICK} requests only.")] = False,
    json: options.Json = False,
) -> None:
    """Defend the built-in model organism and compare: no defence, safety prompt, and risk-adaptive steering."""
    with speaking(json) as say:
        start = time.perf_counter()
        from ras_ext.defenses import NAMES, build
        from ras_ext.evaluation import evaluate
        from ras_ext.evaluation.record import is_ledger
        from ras_ext.loading import load_vectors
        from ras_ext.organism.queries import write_set

        path = write_set("evaluation", out / "data", count=min(items, _QUICK) if quick else items)
        if is_ledger(out / ITEMS):  # a demo is run anew, never resumed
            (out / ITEMS).unlink()
        model, processor = open_model(ORGANISM)
        vectors = load_vectors(ORGANISM, model=model, processor=processor)
        with Watch() as watch:
            report = evaluate(
                [build(name, model, processor, vectors) for name in NAMES],
                path,
                batch_size=batch_size,
                max_new_tokens=32,  # its longest answers have about 20
                progress=watch,
                out=out / ITEMS,
                model_name=ORGANISM,
            )
        page = report.write_html(out / REPORT)
        found = {**report.to_dict(), "report": str(page), "seconds": time.perf_counter() - start}

        def show() -> None:
            show_rows(report.rows, f"{ORGANISM}, {len(report.items)} requests, {found['seconds']:.0f} s")
            typer.echo(f"answers: {report.path}\nreport:  {page}")

        say.result(found, show)
