from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ras_ext.registry import PackError, validate
from ras_ext.registry.schema import SCHEMA_VERSION, installed_version, is_license, load_config, migrate
from ras_ext.registry.strict_json import canonical, parse, pretty

DELETED = object()


def edited(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    *parents, last = path.split("/")
    inner = changed
    for key in parents:
        inner = inner[key]
    if value is DELETED:
        del inner[last]
    else:
        inner[last] = value
    return changed


def test_a_complete_config_passes(config: dict[str, Any]) -> None:
    validate(config, with_files=False)
    validate({**config, "files": {"ras_vectors.safetensors": "b" * 64, "evidence/a/rows.csv": "c" * 64}})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "../up"),
        ("name", ""),
        ("name", "a" * 97),
        ("ras_ext_version", None),
        ("license", ""),
        ("license", "Apache-2.0"),
        ("license", "-mit"),
        ("license", "mit\n"),
        ("license", "a" * 65),
        ("license", ["mit"]),
        ("base_model", []),
        ("base_model/id", " "),
        ("base_model/hidden_size", 0),
        ("base_model/hidden_size", True),
        ("base_model/hidden_size", 6.0),
        ("base_model/vocab_size", 10**9),
        ("base_model/final_norm", "model..norm"),
        ("base_model/final_norm", "__import__('os')"),
        ("base_model/config_sha256", "A" * 64),
        ("base_model/chat_template_sha256", "short"),
        ("base_model/image_token_id", -1),
        ("method/gamma", 1.5),
        ("method/gamma", "0.3"),
        ("method/gamma", float("nan")),
        ("method/gamma", 10**400),
        ("method/alpha", 0),
        ("method/alpha", -3.0),
        ("method/alpha", float("inf")),
        ("method/s_base", 0.0),
        ("method/s_base", 1.0),
        ("method/s_base", None),
        ("method/n_score", 0),
        ("method/n_tokens", 4),
        ("method/schedule", "absent"),
        ("method/schedules", {}),
        ("method/schedules/paper/doses", [1.0, 1.0]),
        ("method/schedules/paper/doses", [1.0, 1.0, 1.5]),
        ("method/schedules/paper/doses", [1.0, None, 1.0]),
        ("method/schedules/paper/extra", 1),
        ("method/steer_layer", 12),
        ("method/attention_heads", [[9, 0]]),
        ("method/attention_heads", [[0]]),
        ("method/token_risk", {"layer": 1, "slope": 0.0, "bias": 0.0}),
        ("prompts/reformulation", "{safety}"),
        ("prompts/max_context_tokens", 0),
        ("prompts/safety", 3),
        ("prompts/unknown", "x"),
        ("calibration", None),
        ("evidence", {"asr": float("inf")}),
        ("surplus", 1),
        ("method/schedules/paper/two words", 1),
    ],
)
def test_a_wrong_field_is_named_with_its_value_in_one_sentence(config: dict[str, Any], path: str, value: Any) -> None:
    with pytest.raises(PackError) as caught:
        validate(edited(config, path, value), with_files=False)
    message = str(caught.value)
    assert path.replace("/", ".") in message
    assert "\n" not in message
    assert len(message) < 400
    assert ";" in message  # the remedy


def test_every_field_is_required(config: dict[str, Any]) -> None:
    paths = list(config) + [
        f"{section}/{key}" for section in ("base_model", "method", "prompts") for key in config[section]
    ]
    for path in paths:
        with pytest.raises(PackError, match="is missing") as caught:
            validate(edited(config, path, DELETED), with_files=False)
        assert path.replace("/", ".") in str(caught.value)
    assert len(paths) > 25


def test_a_newer_schema_names_the_version_that_reads_it(config: dict[str, Any]) -> None:
    newer = {**config, "schema_version": SCHEMA_VERSION + 1, "ras_ext_version": "7.1.0", "method": "unknown shape"}
    with pytest.raises(PackError) as caught:
        load_config(canonical(newer))
    expected = f"made by ras_ext 7.1.0, needs ras_ext >= 7.1.0, this is {installed_version()}"
    assert expected in str(caught.value)
    assert "upgrade" in str(caught.value)

    del newer["ras_ext_version"]
    newer["calibration"] = {"ras_ext_version": "8.0"}
    with pytest.raises(PackError, match=r"made by ras_ext 8\.0,"):
        load_config(canonical(newer))
    newer["calibration"] = None
    with pytest.raises(PackError, match="of a later version"):
        load_config(canonical(newer))


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None])
def test_a_version_that_never_was_is_refused(config: dict[str, Any], version: Any) -> None:
    with pytest.raises(PackError, match="schema_version"):
        migrate({**config, "schema_version": version})


def test_older_configs_are_lifted_step_by_step_in_memory(config: dict[str, Any]) -> None:
    def to_two(old: dict[str, Any]) -> dict[str, Any]:
        old["prompts"]["language"] = "en"
        return old

    def to_three(old: dict[str, Any]) -> dict[str, Any]:
        old["language"] = old["prompts"].pop("language")
        return old

    config["schema_version"] = 1
    before = copy.deepcopy(config)
    lifted = migrate(config, {1: to_two, 2: to_three}, current=3)
    assert (lifted["schema_version"], lifted["language"]) == (3, "en")
    assert config == before  # what was read is left as it was
    with pytest.raises(PackError, match="can no longer be read"):
        migrate(config, {2: to_three}, current=3)


def test_a_config_of_version_1_is_read_and_has_no_licence(config: dict[str, Any]) -> None:
    old = {key: value for key, value in config.items() if key != "license"} | {"schema_version": 1}
    files = {"ras_vectors.safetensors": "b" * 64}
    assert load_config(canonical({**old, "files": files})) == {**config, "license": None, "files": files}
    with pytest.raises(PackError, match="license is not a field of schema version 1;"):
        load_config(canonical({**old, "license": "mit", "files": files}))


@pytest.mark.parametrize("license", ["mit", "apache-2.0", "cc-by-nc-4.0", "c++", "0bsd", "other", "a" * 64, None])
def test_licences_as_the_hub_writes_them_pass(config: dict[str, Any], license: str | None) -> None:
    validate({**config, "license": license}, with_files=False)
    assert is_license(license) is (license is not None)


SECTIONS = ["", "base_model", "method", "prompts", "method/schedules", "method/schedules/paper"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.floats() | st.integers(), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.just(DELETED),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_config_passes_or_raises_the_packages_own_error(config: dict[str, Any], data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(SECTIONS))
    inner: Any = config
    for key in filter(None, section.split("/")):
        inner = inner[key]
    name = data.draw(st.sampled_from(sorted(inner)) | st.text(max_size=6))
    changed = copy.deepcopy(config)
    target: Any = changed
    for key in filter(None, section.split("/")):
        target = target[key]
    value = data.draw(VALUES)
    if value is DELETED:
        target.pop(name, None)
    else:
        target[name] = value
    problem = ""
    try:
        validate(changed, with_files=False)
    except PackError as error:
        problem = str(error)
    assert "\n" not in problem
    if not problem:
        assert parse(pretty(changed), "what passes can be written") == parse(canonical(changed), "hashed")
