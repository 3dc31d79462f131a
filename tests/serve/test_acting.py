"""One step of a batch: only what is due is touched, and a similarity is told only of steps that were seen."""

from __future__ import annotations

import pytest
import torch
from packs_by_hand import VOCABULARY, packed, table

from ras_ext import ops
from ras_ext.serve.engine.acting import Acting, Row
from ras_ext.serve.engine.order import JUDGE, PASS, STEER, Order
from ras_ext.serve.engine.packed import Packed
from ras_ext.serve.engine.told import LOST, STEP, heard, tokens_needed

SHORT = packed("short@1/paper", (1.0, 1.0, 1.0))
LONG = packed("long@1/auto", (1.0, 0.8, 0.64, 0.5, 0.4), n_score=2, gamma=0.7, ends=(9, 10))
NEEDED = tokens_needed(VOCABULARY)


@pytest.fixture
def acting() -> Acting:
    return Acting(table(SHORT, LONG))


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def similarity(pack: Packed, steps: list[torch.Tensor], real: int) -> float:
    """By the operator that the guard scores with."""
    found, _ = ops.risk_score(
        torch.stack(steps)[None], torch.tensor([real], dtype=torch.int32), pack.mixture, pack.gamma, 20.0, 0.6
    )
    return float(found)


def told(acting: Acting, row: Row, first: int) -> float:
    """What a row goes on to tell from the step `first` on, where all the digits are ahead."""
    tokens = []
    for step in range(first, first + NEEDED):
        x = logits(1, step)
        acting.judge(x, [(0, row, step)])
        assert (x[0] == 0.0).sum() == 1
        assert torch.isneginf(x[0]).sum() == VOCABULARY - 1
        tokens.append(int(x[0].argmax()))
    return heard(tokens, VOCABULARY)


def test_only_rows_with_a_dose_or_a_score_are_admitted(acting: Acting) -> None:
    assert acting.admit(Order(PASS)) is None
    assert acting.admit(Order(STEER, SHORT.key, 0.0)) is None
    assert acting.admit(Order(STEER, SHORT.key, 1e-6)) is not None
    assert acting.admit(Order(JUDGE, SHORT.key)) is not None


def test_what_the_frontend_should_have_refused_ends_the_engine(acting: Acting) -> None:
    with pytest.raises(RuntimeError, match="not answered undefended"):
        acting.admit(None)
    with pytest.raises(RuntimeError, match="names the pack 'gone@1/paper', which this worker does not hold"):
        acting.admit(Order(STEER, "gone@1/paper", 1.0))


def test_each_row_is_pulled_by_its_own_pack_step_and_dose(acting: Acting) -> None:
    prototypes = acting.table.logits
    assert prototypes is not None
    rows = [Row(Order(STEER, pack.key, dose)) for pack, dose in ((SHORT, 0.5), (LONG, 0.9), (LONG, 1.0), (SHORT, 1.0))]
    work = [(6, rows[0], 2), (0, rows[1], 4), (3, rows[2], 0), (4, rows[3], 3)]  # the last is behind its schedule
    before, x = logits(8), logits(8)
    acting.steer(x, work, prototypes)
    for at, slot, step, dose in ((6, 0, 2, 0.5), (0, 1, 4, 0.9 * 0.4), (3, 1, 0, 1.0)):
        torch.testing.assert_close(x[at], (1 - dose) * before[at] + dose * prototypes[slot, step])
    untouched = [1, 2, 4, 5, 7]
    assert torch.equal(x[untouched].view(torch.int32), before[untouched].view(torch.int32))
    assert acting.counts.steered == 3


def test_a_step_with_nothing_due_leaves_every_bit(acting: Acting) -> None:
    assert acting.table.logits is not None
    x, before = logits(3), logits(3)
    x[1, 0] = before[1, 0] = float("nan")
    work = [(0, Row(Order(STEER, SHORT.key, 1.0)), 3), (1, Row(Order(STEER, LONG.key, 1.0)), 5)]
    acting.steer(x, work, acting.table.logits)
    acting.judge(x, work)
    assert torch.equal(x.view(torch.int32), before.view(torch.int32))
    assert not any(acting.has_work(row, step) for _, row, step in work)


@pytest.mark.parametrize("pack", [SHORT, LONG], ids=["three-steps", "two-steps"])
def test_the_similarity_is_that_of_the_operator(acting: Acting, pack: Packed) -> None:
    row, seen = Row(Order(JUDGE, pack.key)), []
    for step in range(pack.n_score - 1):
        x = logits(5, step)
        x[2, list(pack.ends)] = -9.0  # the answer goes on
        seen.append(x[2].clone())
        acting.judge(x, [(2, row, step)])
        assert torch.equal(x[2], seen[-1])
    seen.append(logits(1, pack.n_score - 1)[0])
    assert told(acting, row, pack.n_score - 1) == pytest.approx(similarity(pack, seen, pack.n_score), abs=STEP)
    assert acting.counts.judged == 1
    assert acting.counts.lost == 0
    assert not row.scored


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_an_ended_row_is_scored_by_the_steps_up_to_its_end(acting: Acting, ended: int) -> None:
    row, seen = Row(Order(JUDGE, SHORT.key)), []
    for step in range(SHORT.n_score):
        x = logits(1, step)
        x[0, 10] = 9.0 if step == ended else -9.0
        seen.append(x[0].clone())
        acting.judge(x, [(0, row, step)])
    first = int(x[0].argmax())
    rest = []
    for step in range(SHORT.n_score, SHORT.n_score - 1 + NEEDED):
        x = logits(1, step)
        acting.judge(x, [(0, row, step)])
        rest.append(int(x[0].argmax()))
    assert heard([first, *rest], VOCABULARY) == pytest.approx(similarity(SHORT, seen, ended + 1), abs=STEP)
    others = {similarity(SHORT, seen, real) for real in (1, 2, 3)}
    assert len(others) == 3  # the test can tell them apart


def test_a_prompt_that_is_run_in_parts_writes_its_first_step_several_times(acting: Acting) -> None:
    row, whole = Row(Order(JUDGE, SHORT.key)), Row(Order(JUDGE, SHORT.key))
    for part in range(4):
        acting.judge(logits(1, 100 + part), [(0, row, 0)])
    for step in (0, 1):
        x = logits(1, step)
        x[0, 10] = -9.0
        acting.judge(x, [(0, row, step)])
        acting.judge(x, [(0, whole, step)])
    assert told(acting, row, 2) == told(acting, whole, 2)


def test_parts_of_a_prompt_are_not_taken_for_the_only_step_that_is_scored() -> None:
    single = packed("single@1/paper", (1.0,), n_score=1)
    acting, row = Acting(table(single)), Row(Order(JUDGE, single.key))
    for part in range(3):
        acting.judge(logits(1, 100 + part), [(0, row, 0)])
    assert told(acting, row, 0) == pytest.approx(similarity(single, [logits(1, 0)[0]], 1), abs=STEP)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("resumed", [1, 2])
def test_a_request_that_is_begun_anew_in_the_middle_tells_that_it_is_lost(
    acting: Acting, resumed: int, parts: int
) -> None:
    row = Row(Order(JUDGE, SHORT.key))
    for step in range(resumed, SHORT.n_score - 1):
        for part in range(parts):  # its prompt, and what it had written, may be run in parts too
            acting.judge(logits(1, part), [(0, row, step)])
    assert told(acting, row, SHORT.n_score - 1) == LOST
    assert acting.counts.lost == 1


def test_packs_of_other_lengths_share_a_batch(acting: Acting) -> None:
    rows = [Row(Order(JUDGE, pack.key)) for pack in (SHORT, LONG, SHORT, LONG)]
    spoken: list[list[int]] = [[], [], [], []]
    seen: list[list[torch.Tensor]] = [[], [], [], []]
    for step in range(3 + NEEDED):
        x = logits(6, step)
        x[:, 9:] = -9.0
        places = [(step + turn) % 6 for turn in range(4)]  # rows change their places at every step
        for row, place in enumerate(places):
            seen[row].append(x[place].clone())
        acting.judge(x, [(place, row, step) for place, row in zip(places, rows, strict=True)])
        for row, place in enumerate(places):
            spoken[row].append(int(x[place].argmax()))
    for at, pack in enumerate((SHORT, LONG, SHORT, LONG)):
        first = pack.n_score - 1
        wanted = similarity(pack, seen[at][: pack.n_score], pack.n_score)
        assert heard(spoken[at][first : first + NEEDED], VOCABULARY) == pytest.approx(wanted, abs=STEP)


def test_a_request_that_goes_on_after_it_has_told_is_left_alone(acting: Acting) -> None:
    row = Row(Order(JUDGE, LONG.key))
    acting.judge(logits(1), [(0, row, 0)])
    told(acting, row, 1)
    x, before = logits(1), logits(1)
    acting.judge(x, [(0, row, 1 + NEEDED)])
    assert torch.equal(x, before)
