"""One step of a batch: which of its rows are steered, which are scored, and which tell what was found.

The same for both of vLLM's runners, which say for each row whose it is and how many tokens it has written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from ras_ext import ops
from ras_ext.serve.engine.order import JUDGE, STEER, Order
from ras_ext.serve.engine.table import Table
from ras_ext.serve.engine.told import LOST, tell, tokens_needed


@dataclass
class Row:
    """A request in the batch. ``scored`` are the logits ``(V,)`` of its first steps, ``told`` the tokens that tell."""

    order: Order
    scored: list[torch.Tensor] = field(default_factory=list)
    told: torch.Tensor | None = None


@dataclass
class Counts:
    """What a worker has done since it started."""

    steered: int = 0  # rows of logits or states that were pulled
    judged: int = 0  # requests that were scored
    lost: int = 0  # of those, how many have to be scored again


# (row of the batch, whose it is, how many tokens that request has written)
Work = Sequence[tuple[int, Row, int]]


class Acting:
    """Carries the orders out on the packs of `table`."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.counts = Counts()

    def admit(self, order: Order | None) -> Row | None:
        """The row of a new request; None where it is to be left alone for all its life.

        Raises RuntimeError, which ends the engine, for an order that the frontend should not have let through.
        """
        if order is None:
            raise RuntimeError("a request without an order reached a defended engine; it is not answered undefended")
        if order.pack is not None and order.pack not in self.table.packs:
            raise RuntimeError(f"a request names the pack {order.pack!r}, which this worker does not hold")
        return Row(order) if order.do == JUDGE or (order.do == STEER and order.dose > 0.0) else None

    def has_work(self, row: Row, step: int) -> bool:
        """Whether anything is left to do for a request that has written `step` tokens."""
        if row.order.do == JUDGE:
            vocab_size = self.table.vocab_size  # 0 in a worker without the head, which has nothing to do
            scored = self.table.packs[str(row.order.pack)].n_score
            return bool(vocab_size) and step < scored - 1 + tokens_needed(vocab_size)
        return step < len(self._doses(row))

    def steer(self, x: torch.Tensor, work: Work, prototypes: torch.Tensor) -> None:
        """Pulls rows of `x` ``(T, X)``, logits or states, toward ``(P, N, X)``."""
        due = [(at, row, step) for at, row, step in work if row.order.do == STEER and step < len(self._doses(row))]
        if not due:
            return
        slots = self.table.slots
        whole = torch.tensor([(at, slots[str(row.order.pack)], step) for at, row, step in due], dtype=torch.int32).T
        doses = torch.tensor([row.order.dose * self._doses(row)[step] for _, row, step in due], dtype=torch.float32)
        rows, slot, steps = whole.contiguous().to(x.device, non_blocking=True)
        ops.steer_(x, rows, prototypes, slot, steps, doses.to(x.device, non_blocking=True))
        self.counts.steered += len(due)

    def judge(self, logits: torch.Tensor, work: Work) -> None:
        """Keeps the rows ``(V,)`` of requests that are being scored; from the last one on tells the similarity."""
        ready: dict[str, list[Row]] = {}
        telling: list[tuple[int, Row, int]] = []
        for at, row, step in work:
            if row.order.do != JUDGE:
                continue
            pack = self.table.packs[str(row.order.pack)]
            if step >= pack.n_score:
                row.scored.clear()
            else:
                # What is run in parts comes to the same step several times, and the last time counts.
                row.told = None
                del row.scored[step:]
                if len(row.scored) == step:  # else begun anew in the middle: what came before was scored elsewhere
                    row.scored.append(logits[at].float().clone())
            if step >= pack.n_score - 1:
                telling.append((at, row, step - pack.n_score + 1))
                if row.told is None:
                    ready.setdefault(pack.key, []).append(row)
        for key, rows in ready.items():
            self._score(key, rows, logits.shape[-1])
        self._tell(logits, telling)

    def _score(self, key: str, rows: list[Row], vocab_size: int) -> None:
        """Similarities of the rows of one pack, in the tokens that tell them."""
        pack = self.table.packs[key]
        whole = [row for row in rows if len(row.scored) == pack.n_score]
        lost = [row for row in rows if len(row.scored) != pack.n_score]
        if whole:
            logits = torch.stack([torch.stack(row.scored) for row in whole])
            ended = torch.isin(logits.argmax(-1), self.table.ends[key])
            first = torch.where(ended.any(1), ended.int().argmax(1) + 1, pack.n_score)
            similarity, _ = ops.risk_score(
                logits, first.to(torch.int32), self.table.mixtures[key], pack.gamma, pack.alpha, pack.s_base
            )
            for row, tokens in zip(whole, tell(similarity, vocab_size), strict=True):
                row.told = tokens
        for row in lost:
            row.told = tell(torch.tensor([LOST]), vocab_size)[0].to(self.table.device)
        self.counts.judged += len(rows)
        self.counts.lost += len(lost)

    def _tell(self, logits: torch.Tensor, telling: Iterable[tuple[int, Row, int]]) -> None:
        """Leaves each of these rows of `logits` one token that can be chosen."""
        needed = tokens_needed(logits.shape[-1])
        said = [(at, row.told[place]) for at, row, place in telling if row.told is not None and place < needed]
        if said:
            rows = torch.tensor([at for at, _ in said], device=logits.device)
            logits.index_fill_(0, rows, float("-inf"))
            logits[rows, torch.stack([token for _, token in said])] = 0.0

    def _doses(self, row: Row) -> tuple[float, ...]:
        return self.table.packs[str(row.order.pack)].doses
