"""The one timer: contenders run in turns, block by block, and the median block counts.

Turns matter: a machine that slows down for a second slows all contenders, and their ratio stays. On a CPU a block is a
loop of calls. On CUDA it is one replay of a graph of at least 100 calls, so that launching from Python is not measured.
A contender is a sequence of calls; with several, each over buffers of its own, they follow one another, and all
contenders after one another, so that caches are cold.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]

BLOCKS = 7
BLOCK_SECONDS = 0.02
GRAPH_CALLS = 100
GRAPH_BLOCKS = 31  # a replay of 100 short calls takes well under a millisecond


@dataclass(frozen=True)
class Timing:
    """Microseconds of one call.

    Attributes:
        us: median over the blocks.
        low, high: quartiles over the blocks.
        blocks: how many.
        calls: in one block.
    """

    us: float
    low: float
    high: float
    blocks: int
    calls: int


def measure(
    contenders: Mapping[str, Sequence[Call]],
    device: torch.device,
    *,
    blocks: int = BLOCKS,
    block_seconds: float = BLOCK_SECONDS,
) -> dict[str, Timing]:
    """Times every contender on `device`, in turns.

    Args:
        contenders: by name, the calls to go through in turn; one call alone runs on warm caches.
        device: where they compute.
        blocks: of a loop on a CPU, at least 5; on CUDA there are `GRAPH_BLOCKS` replays.
        block_seconds: least length of a block on a CPU.
    """
    if blocks < 5:
        raise ValueError(f"a median needs at least 5 blocks, got {blocks}")
    if device.type == "cuda":
        ready = {name: _graphed(calls) for name, calls in contenders.items()}
    else:
        turn = _Turn()
        ready = {name: _looped(calls, block_seconds, turn) for name, calls in contenders.items()}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(GRAPH_BLOCKS if device.type == "cuda" else blocks):
        for name, (block, calls) in ready.items():
            taken[name].append(1e6 * block() / calls)
    return {name: _timing(times, ready[name][1]) for name, times in taken.items()}


def _timing(times: list[float], calls: int) -> Timing:
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(middle, low, high, len(times), calls)


def _looped(calls: Sequence[Call], least: float, turn: _Turn) -> tuple[Callable[[], float], int]:
    """A block of calls that lasts `least` seconds or one call, and how many calls it makes."""

    def seconds(count: int) -> float:
        now = turn.next(calls, count)
        begin = time.perf_counter()
        for call in now:
            call()
        return time.perf_counter() - begin

    seconds(1)
    count = 1
    while (took := seconds(count)) < least:
        count = max(2 * count, min(10 * count, int(1.2 * count * least / max(took, 1e-9))))

    def block() -> float:
        if len(calls) == 1:
            calls[0]()  # the contender before may have emptied the caches
        return seconds(count)

    return block, count


class _Turn:
    """Where in their buffers the contenders stand: each goes on where the one before it stopped, on cold memory."""

    def __init__(self) -> None:
        self._place = 0

    def next(self, calls: Sequence[Call], count: int) -> list[Call]:
        begin, self._place = self._place, self._place + count
        return [calls[place % len(calls)] for place in range(begin, begin + count)]


def _graphed(calls: Sequence[Call]) -> tuple[Callable[[], float], int]:
    """A block that replays one captured graph, and how many calls the graph holds."""
    rounds = -(-GRAPH_CALLS // len(calls))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            calls[0]()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for call in calls:
                call()
    graph.replay()
    torch.cuda.synchronize()

    def block() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if len(calls) == 1:
            graph.replay()
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        return 1e-3 * begin.elapsed_time(end)

    return block, rounds * len(calls)
