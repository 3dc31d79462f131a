"""The policy of a server: whose request it is, what is done about its risk, and which files are not understood."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ras_ext.errors import InputError
from ras_ext.serve.server.policy import (
    Policy,
    Strength,
    Tenant,
    Thresholds,
    Unauthorized,
    default_policy,
    load_policy,
)

PAGE = (Path(__file__).parents[2] / "docs" / "serving-policy.md").read_text(encoding="utf-8")
KEY, OTHER_KEY = "first-key", "second-key"
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
RISKS = st.floats(0, 1)
MAYBE = st.none() | RISKS


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def bearer(key: str) -> str:
    return f"Bearer {key}"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def reads(content: Any) -> Policy:
        file = tmp_path / "policy.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return load_policy(file)

    return reads


def test_an_empty_file_is_the_default_policy(read: Any) -> None:
    assert read({}) == default_policy()
    assert default_policy().tenants[0].thresholds == Thresholds(log=0.5, steer=0.0, block=None, constrained=0.5)
    assert default_policy().tenants[0].strength == Strength(1.0, 1.0, 1.0)
    assert default_policy().health() == {
        "state": "defended",
        "tenants": 1,
        "tenants_off": 0,
        "tenants_observed": 0,
    }


def test_without_tenants_everybody_is_the_default_tenant() -> None:
    for header in (None, "", bearer(KEY), "Basic abc", "Bearer"):
        assert default_policy().tenant_of(header).name == "default"


def test_by_default_everything_is_steered_and_only_constrained_risks_are_blocked() -> None:
    tenant = Tenant()
    assert [tenant.action(risk) for risk in (0.0, 0.5, 1.0, math.nan)] == ["steered"] * 4
    assert [tenant.action(risk, constrained=True) for risk in (0.0, 0.49, 0.5, 1.0)] == [
        "steered",
        "steered",
        "blocked",
        "blocked",
    ]


def test_between_log_and_steer_a_request_is_logged_and_below_both_it_passes() -> None:
    tenant = Tenant(thresholds=Thresholds(log=0.4, steer=0.7, block=0.9, constrained=None))
    actions = [tenant.action(risk, constrained=True) for risk in (0.39, 0.4, 0.7, 0.9)]
    assert actions == ["passed", "logged", "steered", "blocked"]
    assert [tenant.is_risky(risk) for risk in (0.39, 0.4, math.nan)] == [False, True, True]


@given(MAYBE, MAYBE, MAYBE, RISKS, RISKS, st.booleans())
def test_more_risk_never_brings_a_milder_action(
    log: float | None, steer: float | None, block: float | None, one: float, other: float, constrained: bool
) -> None:
    tenant = Tenant(thresholds=Thresholds(log, steer, block))
    order = ["passed", "logged", "steered", "blocked"]
    low, high = (order.index(tenant.action(risk, constrained)) for risk in sorted((one, other)))
    assert low <= high
    assert order.index(tenant.action(math.nan, constrained)) == order.index(tenant.action(1.0, constrained))
    assert tenant.action(one, constrained) != "steered" or (steer is not None and one >= steer)


def test_a_tenant_is_known_by_its_key_alone(read: Any) -> None:
    policy = read(
        {
            "tenants": {
                "one": {"keys_sha256": [sha256(KEY), sha256("older")]},
                "two": {"keys_sha256": [sha256(OTHER_KEY)]},
            }
        }
    )
    assert policy.tenant_of(bearer(KEY)).name == "one"
    assert policy.tenant_of("bearer  older ").name == "one"
    assert policy.tenant_of(bearer(OTHER_KEY)).name == "two"
    for header in (
        None,
        "",
        "Bearer",
        bearer(sha256(KEY)),
        f"Basic {KEY}",
        KEY,
        bearer("nobody's"),
        bearer("schlüssel\udc80"),
    ):
        with pytest.raises(Unauthorized, match="no API key that is known") as refused:
            policy.tenant_of(header)
        assert "nobody's" not in str(refused.value)


def test_whoever_has_no_known_key_is_the_default_tenant_where_that_has_none(read: Any) -> None:
    policy = read({"tenants": {"default": {}, "one": {"keys_sha256": [sha256(KEY)]}}})
    assert [policy.tenant_of(header).name for header in (None, bearer("EMPTY"), bearer(KEY))] == [
        "default",
        "default",
        "one",
    ]


def test_a_default_tenant_with_a_key_lets_nobody_in_without(read: Any) -> None:
    policy = read({"tenants": {"default": {"keys_sha256": [sha256(KEY)]}}})
    assert policy.tenant_of(bearer(KEY)).name == "default"
    with pytest.raises(Unauthorized):
        policy.tenant_of(None)


def test_a_tenant_that_is_off_passes_at_every_risk_and_is_counted(read: Any) -> None:
    policy = read(
        {"thresholds": {"block": 0.1}, "tenants": {"default": {}, "red": {"keys_sha256": [sha256(KEY)], "mode": "off"}}}
    )
    red = policy.tenant_of(bearer(KEY))
    assert [red.action(risk, constrained=True) for risk in (0.0, 1.0, math.nan)] == ["passed"] * 3
    assert red.pack_for(None, "the default") is None
    assert policy.health() == {"state": "defended", "tenants": 2, "tenants_off": 1, "tenants_observed": 0}


def test_a_server_without_a_threshold_for_steering_is_observing(read: Any) -> None:
    assert read({"thresholds": {"steer": None}}).health()["state"] == "observing"
    one = {"default": {}, "one": {"keys_sha256": [sha256(KEY)], "thresholds": {"steer": None}}}
    assert read({"tenants": one}).health() == {
        "state": "observing",
        "tenants": 2,
        "tenants_off": 0,
        "tenants_observed": 1,
    }
    assert read({"tenants": {"default": {"mode": "off"}}}).health()["state"] == "off"


def test_what_a_tenant_leaves_out_is_as_for_everybody(read: Any) -> None:
    policy = read(
        {
            "thresholds": {"log": 0.2, "block": 0.9},
            "strength": {"default": 1.5, "min": 1, "max": 3},
            "tenants": {"default": {"thresholds": {"log": None}, "strength": {"max": 2}}},
        }
    )
    tenant = policy.tenant_of(None)
    assert tenant.thresholds == Thresholds(log=None, steer=0.0, block=0.9, constrained=0.5)
    assert tenant.strength == Strength(1.5, 1.0, 2.0)


def test_bounds_of_the_strength_that_are_left_out_are_its_default(read: Any) -> None:
    assert read({"strength": {"default": 1.5}}).tenants[0].strength == Strength(1.5, 1.5, 1.5)
    assert read({"strength": {"max": 2}}).tenants[0].strength == Strength(1.0, 1.0, 2.0)


def test_a_strength_outside_of_its_bounds_is_refused() -> None:
    tenant = Tenant(strength=Strength(1.0, 0.5, 2.0))
    assert [tenant.strength_for(asked) for asked in (None, 0.5, 2)] == [1.0, 0.5, 2.0]
    for asked in (0.4, 2.1, 0, -1, math.nan, math.inf, True, "2"):
        with pytest.raises(InputError, match=r"strength must be a number from 0\.5 to 2, got "):
            tenant.strength_for(asked)  # type: ignore[arg-type]


def test_a_tenant_uses_its_own_packs_and_no_others() -> None:
    tenant = Tenant("one", vectors=("mine", "yours"))
    assert [tenant.pack_for(asked, "theirs") for asked in (None, "mine", "yours")] == ["mine", "mine", "yours"]
    for asked in ("theirs", "", "mine "):
        with pytest.raises(InputError, match="there are mine, yours"):
            tenant.pack_for(asked, "theirs")
    with pytest.raises(InputError, match="must be a name"):
        tenant.pack_for(["mine"], "theirs")  # type: ignore[arg-type]
    assert Tenant().pack_for(None, "theirs") == "theirs"
    assert Tenant().pack_for("any", "theirs") == "any"


def test_packs_that_the_server_does_not_hold_are_refused(read: Any) -> None:
    policy = read({"tenants": {"default": {"vectors": ["a", "b"]}}})
    policy.check_packs(["b", "a", "c"])
    with pytest.raises(InputError, match=r"tenants\.default\.vectors names 'b', which this server does not hold \(a\)"):
        policy.check_packs(["a"])
    default_policy().check_packs(["anything"])


KEYED = {"keys_sha256": [sha256(KEY)]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"treshold": {}}, "treshold is not a field"),
        ({"thresholds": {"blok": 0.9}}, "thresholds.blok is not a field"),
        ({"thresholds": None}, "thresholds must be an object, got: None"),
        ({"thresholds": {"log": "0.5"}}, "thresholds.log must be null or a number from 0 to 1, got: '0.5'"),
        ({"thresholds": {"log": True}}, "thresholds.log must be null or a number from 0 to 1, got: True"),
        ({"thresholds": {"steer": 1.01}}, "thresholds.steer must be null or a number from 0 to 1, got: 1.01"),
        ({"thresholds": {"block": -0.1}}, "thresholds.block must be null or a number from 0 to 1, got: -0.1"),
        ({"thresholds": {"steer": 0.7, "block": 0.6}}, "thresholds.block must be null or at least steer (0.7)"),
        ('{"thresholds": {"log": NaN}}', "holds NaN, which is not a finite number"),
        ('{"thresholds": {"log": 1e999}}', "thresholds.log must be finite, got: inf"),
        ('{"thresholds": {"log": 0.5, "log": 0.9}}', "names the field 'log' twice"),
        ("[]", "must hold a JSON object, got: list"),
        ("{", "is not valid JSON"),
        ({"strength": {"min": 0}}, "strength.min must be a number above 0 and at most 100, got: 0"),
        ({"strength": {"max": 101}}, "strength.max must be a number above 0 and at most 100, got: 101"),
        ({"strength": {"min": 2}}, "strength.default must be from min (2) to max (1), got: 1.0"),
        ({"strength": {"default": 3, "max": 2}}, "strength.default must be from min (3) to max (2), got: 3.0"),
        ({"receipt": "none"}, 'receipt must be "full" or "short", got: \'none\''),
        ({"receipt": ["full"]}, 'receipt must be "full" or "short", got: ['),
        ({"tenants": []}, "tenants must be an object, got: []"),
        ({"tenants": {}}, "tenants names nobody"),
        ({"tenants": {"a b": KEYED}}, "tenants has the name 'a b'"),
        ({"tenants": {"one": 1}}, "tenants.one must be an object, got: 1"),
        ({"tenants": {"one": {}}}, "tenants.one.keys_sha256 must be given"),
        ({"tenants": {"one": {"keys_sha256": sha256(KEY)}}}, "tenants.one.keys_sha256 must be a list"),
        ({"tenants": {"one": {"keys_sha256": [3]}}}, "64 small hexadecimal digits each, got: int"),
        ({"tenants": {"one": {"keys_sha256": [sha256("")]}}}, "tenants.one.keys_sha256 has the SHA-256 of no key"),
        ({"tenants": {"one": KEYED, "two": KEYED}}, "tenants.two.keys_sha256 has a key of the tenant 'one' already"),
        ({"tenants": {"one": {"keys_sha256": [sha256(KEY)] * 2}}}, "a key of the tenant 'one' already"),
        ({"tenants": {"one": {**KEYED, "key": "x"}}}, "tenants.one.key is not a field"),
        ({"tenants": {"one": {**KEYED, "mode": "on"}}}, 'tenants.one.mode must be "defend" or "off", got: \'on\''),
        ({"tenants": {"one": {**KEYED, "vectors": []}}}, "tenants.one.vectors must be at least one pack"),
        ({"tenants": {"one": {**KEYED, "vectors": "a"}}}, "tenants.one.vectors must be a list"),
        ({"tenants": {"one": {**KEYED, "vectors": ["a", "a"]}}}, "names of packs, each once, got: 'a'"),
        ({"tenants": {"one": {**KEYED, "vectors": [" "]}}}, "names of packs, each once, got: ' '"),
        ({"tenants": {"one": {**KEYED, "receipt": "short"}}}, "tenants.one.receipt is not a field"),
        (
            {"thresholds": {"steer": 0.5}, "tenants": {"one": {**KEYED, "thresholds": {"block": 0.4}}}},
            "tenants.one.thresholds.block must be null or at least steer (0.5)",
        ),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_the_field(read: Any, content: Any, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read(content)
    assert sentence in str(refused.value)
    assert "policy file" in str(refused.value)
    assert "the pack again" not in str(refused.value)


def test_a_key_that_stands_there_in_the_clear_is_not_repeated(read: Any) -> None:
    with pytest.raises(InputError, match="text of 9 characters") as refused:
        read({"tenants": {"one": {"keys_sha256": [KEY]}}})
    assert KEY not in str(refused.value)


def test_a_file_that_is_not_there_or_far_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_policy(tmp_path / "none.json")
    (tmp_path / "long.json").write_text(" " * 2**21)
    with pytest.raises(InputError, match="give a smaller one"):
        load_policy(tmp_path / "long.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["thresholds", "strength", "tenants", "default", "log", "steer", "block", "min", "max"])
                | st.sampled_from(["mode", "vectors", "keys_sha256", "receipt"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "any-policy.json"
    file.write_text(json.dumps(content))
    tenants: tuple[Tenant, ...] = ()
    sentence = ""
    try:
        tenants = load_policy(file).tenants
    except InputError as error:
        sentence = str(error)
    assert bool(tenants) != ("policy file" in sentence)
    for tenant in tenants:
        assert 0 < tenant.strength.min <= tenant.strength.default <= tenant.strength.max <= 100
        assert tenant.action(math.nan) == tenant.action(1.0)


def test_the_examples_of_the_page_are_read_as_they_stand(read: Any) -> None:
    public, three = map(read, EXAMPLES)
    assert public.short_receipts
    assert public.tenant_of(None).action(0.98) == "blocked"
    assert public.tenant_of(None).strength_for(2) == 2
    assert [tenant.name for tenant in three.tenants] == ["default", "clinic", "red-team"]
    default, clinic, red = three.tenants
    assert [tenant.action(0.96) for tenant in (default, clinic, red)] == ["blocked", "steered", "passed"]
    assert clinic.pack_for(None, "llava-1.5") == "clinic-pack"
    three.check_packs(["clinic-pack", "llava-1.5"])
    assert three.health() == {"state": "defended", "tenants": 3, "tenants_off": 1, "tenants_observed": 0}


def test_every_field_is_described_on_the_page_with_its_default() -> None:
    described = dict(re.findall(r"^\| `((?:thresholds|strength)\.[a-z]+)` \| `([^|]+)` \|", PAGE, re.MULTILINE))
    for name, default in vars(Thresholds()).items():
        assert json.loads(described.pop(f"thresholds.{name}")) == default
    assert set(described) == {f"strength.{name}" for name in vars(Strength())}
    assert float(described["strength.default"]) == Strength().default
    of_tenants = set(re.findall(r"^\| `tenants\.NAME\.([a-z0-9_]+)`", PAGE, re.MULTILINE))
    assert of_tenants == set(vars(Tenant())) - {"name"}
