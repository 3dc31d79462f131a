"""``ras-ext bench``: the operators against eager torch, torch.compile and a copy of as many bytes, in two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.progress import Watch

if TYPE_CHECKING:
    import torch

    from ras_ext.benchmark import Row

_HEADS = ("us", "eager\nus", "compile\nus", "times\neager", "times\ncompile", "GB/s", "of\ncopy")
_LEGEND = "us: median of a call. times: as long as ours. of copy: share of the rate at which as many bytes are copied"


def bench(
    op: Annotated[
        list[str] | None,
        typer.Option("--op", help="An operator, such as steer_; again for more.", show_default="all of them"),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", help="float32, bfloat16 or float16; again for more.", show_default="float32 and bfloat16"
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape", help='A shape as the table writes it, such as "B=1 D=4096"; again for more.', show_default=False
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="torch's setting")
    ] = None,
    device: options.Device = None,
    compile: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Measure against torch.compile as well.")
    ] = True,
    full: Annotated[bool, typer.Option("--full", help="All shapes: about ten minutes on two cores.")] = False,
    json: options.Json = False,
) -> None:
    """Measure the operators on this machine against eager torch, torch.compile, and a copy of as many bytes."""
    with speaking(json) as out:
        from ras_ext import benchmark
        from ras_ext.errors import InputError

        where = _device(device)
        try:
            cases = benchmark.select(
                where, ops=op or (), dtypes=dtype or ("float32", "bfloat16"), shapes=shape or (), full=full
            )
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
        with Watch() as watch:
            rows = benchmark.run(
                cases,
                threads=threads,
                caches=("cold", "hot") if where.type == "cuda" else ("hot",),
                compile=compile,
                progress=watch,
            )
        out.result({"rows": [row.to_dict() for row in rows]}, lambda: show(rows))


def show(rows: Sequence[Row]) -> None:
    """Prints the rows, and below them what is missing and why."""
    first = rows[0]
    heading = f"{first.machine}, threads={first.threads}" if first.device == "cpu" else first.machine
    table = Table(
        title=escape(heading),
        title_justify="left",
        caption=_LEGEND,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    caches = len({row.cache for row in rows}) > 1
    table.add_column("shape", overflow="fold", min_width=19)  # the longest name of an operator
    for head in ("type", *(["cache"] if caches else [])):
        table.add_column(head, no_wrap=True)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    op = None
    for row in rows:
        if row.op != op:
            op = row.op
            table.add_section()
            table.add_row(f"[bold]{escape(op)}[/bold]")
        figures = (
            *(_number(us, 1) for us in (row.us, row.eager_us, row.compile_us)),
            *(_number(times, 2) for times in (row.speedup_eager, row.speedup_compile)),
            _number(row.gb_per_s, 1),
            "–" if row.fraction_of_limit is None else f"{100 * row.fraction_of_limit:.0f} %",
        )
        kind = row.dtype.replace("float", "f")
        table.add_row(escape(row.shape), kind, *([row.cache] if caches else []), *figures)
    console = Console()
    console.print(table)
    for remark in dict.fromkeys(row.remark for row in rows if row.remark):
        console.print(escape(remark))


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits if value < 1000 else 0}f}"


def _device(name: str | None) -> torch.device:
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{name!r} is no device; give cpu or cuda", param_hint="--device")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise typer.BadParameter(f"{name!r} is not here: torch sees no such GPU; give cpu", param_hint="--device")
    if found.index is not None and found.type == "cuda":
        torch.cuda.set_device(found)  # graphs are captured on the current device
    return found
