"""Puts the commands together under one name; one file a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import ras_ext
from ras_ext.cli import (
    ablate,
    ask,
    attack,
    bench,
    benchmarks,
    calibrate,
    demo,
    difference,
    direction,
    doctor,
    evaluate,
    explain,
    judge,
    keygen,
    listing,
    lock,
    pull,
    push,
    report,
    serve,
    show,
    studio,
    verify,
)

app = typer.Typer(
    name="ras-ext",
    help="Risk-adaptive activation steering: defend an open multimodal model, and measure the defence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 the run failed, 2 wrong use, 130 interrupted.",
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"ras-ext {ras_ext.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("calibrate")(calibrate.calibrate)
app.command("ask")(ask.ask)
app.command("explain")(explain.explain)
app.command("eval")(evaluate.evaluate)
app.command("benchmarks")(benchmarks.benchmarks)
app.command("attack")(attack.attack)
app.command("judge")(judge.judge)
app.command("report")(report.report)
app.command("ablate")(ablate.ablate)
app.command("push")(push.push)
app.command("pull")(pull.pull)
app.command("list")(listing.list_packs)
app.command("search")(listing.search)
app.command("history")(listing.history)
app.command("show")(show.show)
app.command("verify")(verify.verify)
app.command("diff")(difference.diff)
app.command("lock")(lock.lock)
app.command("keygen")(keygen.keygen)
app.command("export")(direction.export)
app.command("import-direction")(direction.import_direction)
app.command("serve", context_settings=serve.PASSED_ON)(serve.serve)
app.command("studio")(studio.studio)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point of the console script."""
    try:
        app(prog_name="ras-ext")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
