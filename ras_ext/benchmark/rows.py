"""Makes rows of cases: checks that all contenders answer alike, times them in turns, sets ours beside the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch

from ras_ext import compiled as library
from ras_ext.benchmark import agreement, limits, machine, peers
from ras_ext.benchmark.cases import Case
from ras_ext.benchmark.operators import for_peers, tensors
from ras_ext.benchmark.timer import BLOCK_SECONDS, BLOCKS, Timing, measure
from ras_ext.benchmark.traffic import traffic

Progress = Callable[[str, int, int], None]
STAGE = "measuring"


@dataclass(frozen=True)
class Row:
    """One measurement. Times are medians in microseconds, speedups say how many times as long the peer takes.

    Attributes:
        us, eager_us, compile_us: ours, the composition in eager torch, the same through torch.compile (or None).
        bytes, gb_per_s: what must move (from the launch plan), and how fast that went.
        limit_gb_per_s, fraction_of_limit: a copy of as many bytes in this run, and our share of its rate.
        flops, tflop_per_s: operations by the launch plan, and their rate.
        threads: of the CPU; cache: ``"hot"`` (the same buffers again) or ``"cold"`` (rotating over many).
        us_low, us_high: quartiles of ours over the blocks.
        peers: published kernels' microseconds by name.
        compiled: how torch.compile was called; remark: what is missing from the row and why.
    """

    op: str
    shape: str
    dtype: str
    device: str
    us: float
    eager_us: float
    compile_us: float | None
    speedup_eager: float
    speedup_compile: float | None
    bytes: int | None
    gb_per_s: float | None
    limit_gb_per_s: float | None
    fraction_of_limit: float | None
    flops: int | None
    tflop_per_s: float | None
    threads: int
    cache: str
    machine: str
    us_low: float
    us_high: float
    compiled: str | None
    peers: dict[str, float] = field(default_factory=dict)
    remark: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the fields."""
        return asdict(self)


@dataclass
class _Contenders:
    ours: peers.Function
    others: dict[str, peers.Function]
    compiled: str | None
    remark: str


def run(
    cases: Sequence[Case],
    *,
    threads: int | None = None,
    caches: Sequence[str] = ("hot",),
    compile: bool = True,
    blocks: int = BLOCKS,
    block_seconds: float = BLOCK_SECONDS,
    progress: Progress | None = None,
) -> list[Row]:
    """Measures every case.

    Args:
        cases: from `select`.
        threads: of the CPU for all contenders; None for torch's setting.
        caches: one row for each of these, out of ``"hot"`` and ``"cold"``.
        compile: whether torch.compile takes part.
        blocks, block_seconds: as for `timer.measure`.
        progress: called with (stage, done, total).

    Raises:
        DisagreementError: a peer answers otherwise than ours; nothing of that case was timed.
    """
    rows: list[Row] = []
    rates: dict[tuple[int, str], float] = {}
    with _threads(threads), torch.no_grad():
        for done, case in enumerate(cases):
            if progress:
                progress(STAGE, done, len(cases))
            contenders = _contenders(case, compile)
            _agree(case, contenders)
            for cache in caches:
                rows.append(_row(case, contenders, cache, rates, blocks, block_seconds))
    if progress and cases:
        progress(STAGE, len(cases), len(cases))
    return rows


@contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _contenders(case: Case, compile: bool) -> _Contenders:
    others: dict[str, peers.Function] = {"eager": case.operator.eager}
    how, remark = None, ""
    if compile:
        try:
            others["compile"], how = peers.compiled(case, torch.get_num_threads())
        except peers.CompileError as error:
            remark = f"torch.compile is not possible here: {error}"
    else:
        remark = "torch.compile was not asked for"
    if not library.serves(case.op, case.device.type):
        remark = f"ours is the plain-torch reference, no compiled operator is loaded; {remark}".rstrip("; ")
    return _Contenders(case.operator.ours, {**others, **peers.published(case)}, how, remark)


def _agree(case: Case, contenders: _Contenders) -> None:
    arguments = case.arguments()
    ours = case.results(arguments, contenders.ours(**arguments))
    for name, function in contenders.others.items():
        theirs = case.results(arguments := case.peer_arguments(), function(**arguments))
        agreement.check(f"{name} for {case.op} {case.shape} {case.dtype_name}", theirs, ours, case.tolerance)


def _row(
    case: Case,
    contenders: _Contenders,
    cache: str,
    rates: dict[tuple[int, str], float],
    blocks: int,
    block_seconds: float,
) -> Row:
    timed = _timed(case, contenders, cache, blocks, block_seconds)
    ours, eager, compiled = timed.pop("ours"), timed.pop("eager").us, timed.pop("compile", None)
    cost = traffic(case)
    rate = limit = None
    if cost.bytes:
        key = (cost.bytes, cache)
        rates[key] = limit = rates.get(key) or limits.copy_gb_per_s(cost.bytes, case.device, cache)
        rate = cost.bytes / ours.us / 1e3
    return Row(
        op=case.op,
        shape=case.shape,
        dtype=case.dtype_name,
        device=case.device.type,
        us=ours.us,
        eager_us=eager,
        compile_us=compiled.us if compiled else None,
        speedup_eager=eager / ours.us,
        speedup_compile=compiled.us / ours.us if compiled else None,
        bytes=cost.bytes,
        gb_per_s=rate,
        limit_gb_per_s=limit,
        fraction_of_limit=rate / limit if rate and limit else None,
        flops=cost.flops,
        tflop_per_s=cost.flops / ours.us / 1e6 if cost.flops is not None else None,
        threads=torch.get_num_threads(),
        cache=cache,
        machine=machine.name(case.device),
        us_low=ours.low,
        us_high=ours.high,
        compiled=contenders.compiled,
        peers={name: timing.us for name, timing in timed.items()},
        remark="; ".join(filter(None, (contenders.remark, cost.why, machine.busy()))),
    )


def _timed(case: Case, contenders: _Contenders, cache: str, blocks: int, block_seconds: float) -> dict[str, Timing]:
    """All contenders work on the same buffers: what they write has no bearing on how long they take."""
    first = case.arguments()
    size = sum(t.numel() * t.element_size() for t in tensors(first))
    copies = limits.sets(size, case.device, cache) - 1
    ours = [
        first,
        *({k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in first.items()} for _ in range(copies)),
    ]
    theirs = [for_peers(arguments) for arguments in ours]
    calls = {"ours": [partial(contenders.ours, **arguments) for arguments in ours]}
    for name, function in contenders.others.items():
        calls[name] = [partial(function, **arguments) for arguments in theirs]
    return measure(calls, case.device, blocks=blocks, block_seconds=block_seconds)
