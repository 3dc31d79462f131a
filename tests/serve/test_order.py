"""What a request may ask of the defence, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ras_ext.serve import frontend
from ras_ext.serve.engine.order import JUDGE, PASS, STEER, Order


@pytest.mark.parametrize("order", [Order(STEER, "a@1/paper", 0.25), Order(JUDGE, "a@1/paper"), Order(PASS)])
def test_an_order_comes_back_as_it_was_sent(order: Order) -> None:
    assert Order.of(order.to_args()) == order


@pytest.mark.parametrize("args", [None, {}, {"other": 1}, {"ras": None}])
def test_a_request_without_an_order_has_none(args: Any) -> None:
    assert Order.of(args) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("steer", "must be an object"),
        (["steer"], "must be an object"),
        ({}, "must be an object"),
        ({"do": "nothing"}, "must be an object"),
        ({"do": ["steer"]}, "must be an object"),
        ({"do": "steer", "dose": 1.0}, "must name a 'pack'"),
        ({"do": "steer", "pack": ["a"], "dose": 1.0}, "must name a 'pack'"),
        ({"do": "judge"}, "must name a 'pack'"),
        ({"do": "steer", "pack": "a"}, "must give a 'dose'"),
        ({"do": "steer", "pack": "a", "dose": 1.5}, "from 0 to 1, got 1.5"),
        ({"do": "steer", "pack": "a", "dose": -0.1}, "from 0 to 1"),
        ({"do": "steer", "pack": "a", "dose": float("nan")}, "from 0 to 1, got nan"),
        ({"do": "steer", "pack": "a", "dose": float("inf")}, "from 0 to 1, got inf"),
        ({"do": "steer", "pack": "a", "dose": True}, "from 0 to 1, got True"),
        ({"do": "steer", "pack": "a", "dose": "1"}, "from 0 to 1, got '1'"),
        ({"do": "steer", "pack": "a", "dose": [0.0]}, r"from 0 to 1, got \[0.0\]"),
        ({"do": "steer", "pack": "a", "dose": None}, "from 0 to 1, got None"),
        ({"do": "steer", "pack": "a", "dose": 1.0, "slot": 0}, "has no field 'slot'"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Order.of({"ras": given})


def test_the_frontend_lets_through_only_orders_on_packs_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "_held", set())
    frontend.hold(["here@1/paper"])
    assert frontend.held() == ("here@1/paper",)
    frontend.check_order(Order(STEER, "here@1/paper", 1.0).to_args())
    frontend.check_order(Order(PASS).to_args())
    with pytest.raises(ValueError, match="no pack 'there@1/paper' in this engine; it holds here@1/paper"):
        frontend.check_order(Order(JUDGE, "there@1/paper").to_args())
    with pytest.raises(ValueError, match="answers no request that does not say how"):
        frontend.check_order(None)
