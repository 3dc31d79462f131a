from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ras_ext.errors import PackError
from ras_ext.schedule import Schedule


def test_the_papers_schedule_is_three_tokens_at_full_dose() -> None:
    assert Schedule.paper() == Schedule(3, (1.0, 1.0, 1.0))


def test_a_decaying_schedule_holds_and_then_falls_by_its_factor() -> None:
    doses = Schedule.decaying(6, hold=3, decay=0.8).doses
    assert doses[:3] == (1.0, 1.0, 1.0)
    assert doses[3:] == pytest.approx((0.8, 0.64, 0.512))
    assert doses[3:] != pytest.approx((1.0, 0.8, 0.64))
    assert Schedule.decaying(2).doses == (1.0, 1.0)
    assert Schedule.decaying(3, hold=1, decay=0.0).doses == (1.0, 0.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 64), st.integers(0, 70), st.floats(0.0, 1.0))
def test_every_decaying_schedule_is_a_schedule_that_never_rises(n_tokens: int, hold: int, decay: float) -> None:
    schedule = Schedule.decaying(n_tokens, hold, decay)
    assert len(schedule.doses) == n_tokens
    assert list(schedule.doses) == sorted(schedule.doses, reverse=True)
    assert 0.0 <= schedule.doses[-1] <= schedule.doses[0] <= 1.0
    assert Schedule.from_dict(schedule.to_dict()) == schedule


@pytest.mark.parametrize(
    ("n_tokens", "doses"),
    [(0, ()), (2, (1.0,)), (1, (1.1,)), (1, (-0.1,)), (1, (float("nan"),)), (-1, ())],
)
def test_a_schedule_that_cannot_be_followed_is_refused(n_tokens: int, doses: tuple[float, ...]) -> None:
    with pytest.raises(PackError, match="schedule"):
        Schedule(n_tokens, doses)


@pytest.mark.parametrize("settings_", [{"hold": -1}, {"decay": 1.5}, {"decay": float("nan")}])
def test_a_decay_that_grows_is_refused(settings_: dict[str, float]) -> None:
    with pytest.raises(PackError, match="decaying"):
        Schedule.decaying(4, **settings_)  # type: ignore[arg-type]
