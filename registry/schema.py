"""The schema of ``ras_config.json``: what every field is, which versions are read, and how older ones are lifted.

A config is checked here before any tensor is looked at; the runtime builds its vectors only from a config that passed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from . import strict_json
from .errors import PackError
from .fields import Fields, is_number
from .layout import CONFIG_FILE, MAX_FILES, TENSORS_FILE, check_member

SCHEMA_VERSION = 2
MAX_TOKENS = 1024

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
SHA256 = r"[0-9a-f]{64}"
# What the Hub's front matter takes: an SPDX-like name in small letters.
LICENSE = r"[a-z0-9][a-z0-9.+-]*"
LICENSE_LIMIT = 64
LICENSE_RULE = "a licence as the Hub writes it, such as apache-2.0 (small letters, digits, '.', '+' and '-')"
MODULE_PATH = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*"

Migration = Callable[[dict[str, Any]], dict[str, Any]]


def _with_license(config: dict[str, Any]) -> dict[str, Any]:
    if "license" in config:
        raise PackError("license is not a field of schema version 1; correct schema_version or leave the field out")
    return {**config, "license": None}


# version -> the function that lifts a config of that version to the next one, in memory
MIGRATIONS: dict[int, Migration] = {1: _with_license}


def installed_version() -> str:
    """The version of the installed ras-ext distribution, ``unknown`` when it runs from bare sources."""
    try:
        return metadata.version("ras-ext")
    except metadata.PackageNotFoundError:
        return "unknown"


def load_config(raw: bytes) -> dict[str, Any]:
    """Parse, lift and check the bytes of a ``ras_config.json``. Raises PackError."""
    config = migrate(strict_json.parse(raw, CONFIG_FILE))
    validate(config)
    return config


def migrate(
    config: Mapping[str, Any], migrations: Mapping[int, Migration] = MIGRATIONS, current: int = SCHEMA_VERSION
) -> dict[str, Any]:
    """A copy of the config in schema version ``current``, in memory only. Raises PackError for unknown versions."""
    version = config.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise Fields(config).fail("schema_version", "a whole number from 1", version)
    if version > current:
        maker = _maker(config)
        raise PackError(
            f"this pack was made by ras_ext {maker}, needs ras_ext >= {maker}, this is {installed_version()} "
            f"(pack schema {min(version, 10**9)}, newest known {current}); upgrade with `pip install -U ras-ext`"
        )
    lifted = copy.deepcopy(dict(config))
    for step in range(version, current):
        if step not in migrations:
            raise PackError(f"schema_version {step} can no longer be read; calibrate the model again")
        lifted = migrations[step](lifted)
        lifted["schema_version"] = step + 1
    return lifted


def validate(config: Mapping[str, Any], *, with_files: bool = True) -> None:
    """Check every field of a config of the current schema. Raises PackError naming field, value and remedy."""
    top = Fields(config)
    top.integer("schema_version", SCHEMA_VERSION, SCHEMA_VERSION)
    top.text("ras_ext_version", limit=60)
    top.text("name", pattern=NAME, rule="letters, digits, '.', '_' and '-', starting with a letter or digit,", limit=96)
    top.optional_text("license", pattern=LICENSE, rule=f"null or {LICENSE_RULE}", limit=LICENSE_LIMIT)
    base_model = top.table("base_model")
    _base_model(base_model)
    _method(top.table("method"), n_layers=base_model.raw("n_layers"))
    _prompts(top.table("prompts"))
    top.free("calibration")
    top.free("evidence")
    if with_files:
        _files(top.table("files"))
    top.close()


def is_license(value: object) -> bool:
    """True for what the field ``license`` may hold beside null."""
    return isinstance(value, str) and len(value) <= LICENSE_LIMIT and re.fullmatch(LICENSE, value) is not None


def longest_schedule(config: Mapping[str, Any]) -> int:
    """The number of prototypes that the schedules of a checked config ask for."""
    return max(entry["n_tokens"] for entry in config["method"]["schedules"].values())


def _base_model(fields: Fields) -> None:
    fields.text("id", pattern=r"[^\s].*", rule="the model's name or path", limit=400)
    fields.optional_text("revision", limit=100)
    fields.text("architecture", pattern=r"[A-Za-z_][A-Za-z0-9_]*", rule="a class name", limit=100)
    fields.integer("hidden_size", 1, 2**20)
    fields.integer("n_layers", 1, 2**16)
    fields.integer("vocab_size", 2, 2**23)
    fields.text("final_norm", pattern=MODULE_PATH, rule="a module path such as model.norm", limit=300)
    fields.optional_integer("image_token_id", 0, 2**23)
    fields.text("config_sha256", pattern=SHA256, rule="a sha256 in hexadecimal")
    fields.optional_text("chat_template_sha256", pattern=SHA256, rule="null or a sha256 in hexadecimal")
    fields.close()


def _method(fields: Fields, n_layers: int) -> None:
    n_tokens = fields.integer("n_tokens", 1, MAX_TOKENS)
    fields.integer("n_score", 1, MAX_TOKENS)
    fields.number("gamma", "a number from 0 to 1", 0.0, 1.0)
    fields.number("alpha", "a number above 0", 0.0, 1e6, open_ends=True)
    fields.number("s_base", "a number between 0 and 1, both excluded", 0.0, 1.0, open_ends=True)
    default = fields.text("schedule", limit=96)
    _schedules(fields.table("schedules"))
    schedules = fields.raw("schedules")
    if default not in schedules:
        raise fields.fail("schedule", "one of method.schedules (" + ", ".join(sorted(schedules)) + ")", default)
    if schedules[default]["n_tokens"] != n_tokens:
        rule = f"that of the default schedule {default!r} ({schedules[default]['n_tokens']})"
        raise fields.fail("n_tokens", rule, n_tokens)
    if fields.raw("steer_layer") is not None:
        # Reading such a pack as if it steered after the final norm would defend at the wrong place, unnoticed.
        rule = "null (the state after the final norm, the only place this version steers)"
        raise fields.fail("steer_layer", rule, fields.raw("steer_layer"))
    for pair in fields.items("attention_heads", 4096):
        whole = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(item) is int for item in pair)
        if not whole or not (0 <= pair[0] < n_layers and 0 <= pair[1] < 2**16):
            raise fields.fail("attention_heads", f"a list of [layer below {n_layers}, head]", pair)
    token_risk = fields.optional_table("token_risk")
    if token_risk is not None:
        token_risk.integer("layer", 0, n_layers)
        token_risk.number("slope", "a number above 0", 0.0, 1e6, open_ends=True)
        token_risk.number("bias", "a number from -1 to 1", -1.0, 1.0)
        token_risk.close()
    fields.close()


def _schedules(fields: Fields) -> None:
    if not 1 <= len(fields.keys()) <= 32:
        raise PackError(f"{fields.where} must name 1 to 32 schedules, got: {len(fields.keys())}; add or remove some")
    for name in fields.keys():  # noqa: SIM118 - Fields is no mapping
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            shown = strict_json.shown(name)
            raise PackError(f"{fields.where} has the name '{shown}'; use up to 96 letters, digits, '.', '_' and '-'")
        entry = fields.table(name)
        n_tokens = entry.integer("n_tokens", 1, MAX_TOKENS)
        doses = entry.items("doses", MAX_TOKENS)
        if len(doses) != n_tokens:
            raise entry.fail("doses", f"a list of n_tokens = {n_tokens} numbers", f"{len(doses)} numbers")
        wrong = [dose for dose in doses if not is_number(dose) or not 0.0 <= dose <= 1.0]
        if wrong:
            raise entry.fail("doses", "numbers from 0 to 1", wrong[0])
        entry.close()


def _prompts(fields: Fields) -> None:
    fields.text("visual_context")
    fields.text("safety")
    template = fields.text("reformulation")
    if "{query}" not in template:
        raise fields.fail("reformulation", "a template that contains {query}", template)
    fields.integer("max_context_tokens", 1, MAX_TOKENS)
    fields.close()


def _files(fields: Fields) -> None:
    if len(fields.keys()) > MAX_FILES:
        raise PackError(f"files lists {len(fields.keys())} names, more than the {MAX_FILES} allowed; leave some out")
    for name in fields.keys():  # noqa: SIM118 - Fields is no mapping
        check_member(name)
        fields.text(name, pattern=SHA256, rule="a sha256 in hexadecimal")
    fields.raw(TENSORS_FILE)


def _maker(config: Mapping[str, Any]) -> str:
    # The layout of a newer config is unknown: look, believe nothing.
    calibration = config.get("calibration")
    inner = calibration.get("ras_ext_version") if isinstance(calibration, Mapping) else None
    for value in (config.get("ras_ext_version"), inner):
        if isinstance(value, str) and 0 < len(value) <= 60 and value.isprintable():
            return value
    return "of a later version"
