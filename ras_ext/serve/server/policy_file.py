"""The policy file as JSON: every field checked, every word understood, what is left out filled in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ras_ext.errors import InputError, PackError
from ras_ext.registry import strict_json
from ras_ext.registry.fields import Fields
from ras_ext.registry.schema import NAME, SHA256
from ras_ext.serve.server.tenants import DEFEND, EVERYBODY, OFF, Strength, Tenant, Thresholds

FULL, SHORT = "full", "short"
REMEDY = "correct the policy file"
_BYTES = 2**20
_ENTRIES = 1000  # of a list
_MAX_STRENGTH = 100.0
_NO_KEY = hashlib.sha256(b"").hexdigest()  # what the key in an unset variable of a shell hashes to


class _PolicyFields(Fields):
    error = InputError
    remedy = REMEDY


def read(path: str | Path) -> tuple[tuple[Tenant, ...], str]:
    """Tenants and form of receipts. Raises InputError, naming the field, for a file that is not wholly understood."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_BYTES + 1)
    except OSError as error:
        raise InputError(f"the policy file {path} cannot be read ({error.strerror}); give a readable file") from None
    if len(raw) > _BYTES:
        raise InputError(f"the policy file {path} has more than {_BYTES} bytes; give a smaller one")
    try:
        return _policy(strict_json.parse(raw, f"the policy file {path}", REMEDY))
    except PackError as error:
        raise InputError(str(error)) from None


def _policy(given: Mapping[str, Any]) -> tuple[tuple[Tenant, ...], str]:
    top = _PolicyFields({"thresholds": {}, "strength": {}, "receipt": FULL, "tenants": None, **given})
    everybody = Tenant(thresholds=_thresholds(top, {}), strength=_strength(top, {}))
    receipt = _one_of(top, "receipt", FULL, SHORT)
    shared = {key: top.free(key) for key in ("thresholds", "strength")}
    named = top.optional_table("tenants")
    top.close()
    if named is None:
        return (everybody,), receipt
    tenants = [_tenant(named, name, shared) for name in named.keys()]  # noqa: SIM118 - Fields is no mapping
    if not tenants:
        raise InputError(f"tenants names nobody, so that nobody could ask; leave it out, or {REMEDY}")
    _check_keys(tenants)
    return tuple(tenants), receipt


def _tenant(named: Fields, name: str, shared: Mapping[str, Mapping[str, Any]]) -> Tenant:
    if not re.fullmatch(NAME, name):
        shown = strict_json.shown(name)
        raise InputError(f"tenants has the name '{shown}'; use up to 96 letters, digits, '.', '_' and '-', or {REMEDY}")
    optional: dict[str, Any] = {"keys_sha256": [], "vectors": None, "thresholds": {}, "strength": {}, "mode": DEFEND}
    fields = _PolicyFields({**optional, **named.free(name)}, named.path(name))
    found = Tenant(
        name,
        _keys(fields),
        _vectors(fields),
        _thresholds(fields, shared["thresholds"]),
        _strength(fields, shared["strength"]),
        _one_of(fields, "mode", DEFEND, OFF),
    )
    fields.close()
    if not found.keys_sha256 and name != EVERYBODY:
        raise fields.fail("keys_sha256", f"given (only the tenant '{EVERYBODY}' may be without a key)", [])
    return found


def _keys(fields: Fields) -> tuple[str, ...]:
    found, rule = fields.items("keys_sha256", _ENTRIES), "a list of SHA-256s of keys, 64 small hexadecimal digits each"
    if wrong := [entry for entry in found if not isinstance(entry, str) or not re.fullmatch(SHA256, entry)]:
        # Not the value itself: it may well be the key.
        shape = f"text of {len(wrong[0])} characters" if isinstance(wrong[0], str) else type(wrong[0]).__name__
        raise InputError(f"{fields.path('keys_sha256')} must be {rule}, got: {shape}; {REMEDY}")
    return tuple(found)


def _vectors(fields: Fields) -> tuple[str, ...]:
    if fields.raw("vectors") is None:
        return ()
    found, rule = fields.items("vectors", _ENTRIES), "a list of names of packs, each once"
    wrong = [name for name in found if not isinstance(name, str) or not name.strip() or found.count(name) > 1]
    if wrong:
        raise fields.fail("vectors", rule, wrong[0])
    if not found:
        raise fields.fail("vectors", "at least one pack, or left out where all may be used", [])
    return tuple(found)


def _thresholds(fields: Fields, shared: Mapping[str, Any]) -> Thresholds:
    """Field by field: a tenant that is only warned of sooner is blocked like the others."""
    merged = {**asdict(Thresholds()), **shared, **fields.free("thresholds")}
    within = _PolicyFields(merged, fields.path("thresholds"))
    found = Thresholds(*(_threshold(within, key) for key in ("log", "steer", "block", "constrained")))
    within.close()
    if found.block is not None and found.steer is not None and found.block < found.steer:
        raise within.fail("block", f"null or at least steer ({found.steer:g}), else nothing is steered", found.block)
    return found


def _threshold(fields: Fields, key: str) -> float | None:
    return None if fields.raw(key) is None else fields.number(key, "null or a number from 0 to 1", 0.0, 1.0)


def _strength(fields: Fields, shared: Mapping[str, Any]) -> Strength:
    merged = {**shared, **fields.free("strength")}
    default = merged.get("default", 1.0)
    within = _PolicyFields({"default": default, "min": default, "max": default, **merged}, fields.path("strength"))
    found = Strength(*(_multiplier(within, key) for key in ("default", "min", "max")))
    within.close()
    if not found.min <= found.default <= found.max:
        raise within.fail("default", f"from min ({found.min:g}) to max ({found.max:g})", found.default)
    return found


def _multiplier(fields: Fields, key: str) -> float:
    # Not 0: whoever is not to be defended has the mode off, and the server's health says so.
    rule = f"a number above 0 and at most {_MAX_STRENGTH:g}"
    value = fields.number(key, rule, 0.0, _MAX_STRENGTH)
    if value == 0.0:
        raise fields.fail(key, rule, value)
    return value


def _one_of(fields: Fields, key: str, *words: str) -> str:
    value = fields.raw(key)
    if value not in words:
        raise fields.fail(key, " or ".join(f'"{word}"' for word in words), value)
    return str(value)


def _check_keys(tenants: Sequence[Tenant]) -> None:
    holders: dict[str, str] = {}
    for tenant in tenants:
        for digest in tenant.keys_sha256:
            where = f"tenants.{tenant.name}.keys_sha256"
            if digest == _NO_KEY:
                raise InputError(
                    f"{where} has the SHA-256 of no key at all ({digest[:12]}…); hash the key again and {REMEDY}"
                )
            if digest in holders:
                raise InputError(
                    f"{where} has a key of the tenant {holders[digest]!r} already ({digest[:12]}…), "
                    f"and no key may stand there twice; {REMEDY}"
                )
            holders[digest] = tenant.name
