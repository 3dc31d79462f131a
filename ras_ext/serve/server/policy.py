"""The policy of a server: who may ask, with which packs, and what is done from which risk on.

``docs/serving-policy.md`` describes the file. What it leaves out is as in :func:`default_policy`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ras_ext.errors import InputError
from ras_ext.serve.server.policy_file import FULL, REMEDY, SHORT, read
from ras_ext.serve.server.tenants import OFF, Strength, Tenant, Thresholds, Unauthorized

__all__ = ["Policy", "Strength", "Tenant", "Thresholds", "Unauthorized", "default_policy", "load_policy"]

DEFENDED, OBSERVING = "defended", "observing"


@dataclass(frozen=True)
class Policy:
    """What stands in the file, with nothing left out.

    Attributes:
        tenants: by name all different; where the file has none, one without keys, who is everybody.
        receipt: ``full``, or ``short``: without the visual context.
    """

    tenants: tuple[Tenant, ...] = (Tenant(),)
    receipt: str = FULL

    @property
    def short_receipts(self) -> bool:
        return self.receipt == SHORT

    def tenant_of(self, authorization: str | None) -> Tenant:
        """Whose key an ``Authorization`` header carries. Raises Unauthorized if nobody's, and not everybody may ask."""
        digest = _digest(authorization)
        found = next((tenant for tenant in self.tenants if not tenant.keys_sha256), None)
        for tenant in self.tenants:
            for known in tenant.keys_sha256:
                if hmac.compare_digest(known, digest):
                    found = tenant  # and no word sooner than for a key that nobody has
        if found is None:
            raise Unauthorized("the request carries no API key that is known here; send 'Authorization: Bearer KEY'")
        return found

    def check_packs(self, names: Collection[str]) -> None:
        """Raises InputError unless every pack that a tenant may use is among `names`, those of the server."""
        for tenant in self.tenants:
            missing = [name for name in tenant.vectors if name not in names]
            if missing:
                raise InputError(
                    f"tenants.{tenant.name}.vectors names {missing[0]!r}, which this server does not hold "
                    f"({', '.join(sorted(names)) or 'none'}); start it with that pack or {REMEDY}"
                )

    def health(self) -> dict[str, Any]:
        """The state, ``defended``, ``observing`` or ``off``, and how many tenants are not defended.

        Defended is a server that steers everybody whom it was not told to leave alone.
        """
        off = sum(tenant.off for tenant in self.tenants)
        observed = sum(tenant.observed for tenant in self.tenants)
        state = OFF if off == len(self.tenants) else OBSERVING if observed else DEFENDED
        return {"state": state, "tenants": len(self.tenants), "tenants_off": off, "tenants_observed": observed}


def default_policy() -> Policy:
    """That of a server without a policy file: every answer is steered by its risk, nobody is turned away."""
    return Policy()


def load_policy(path: str | Path) -> Policy:
    """The policy in a file. Raises InputError, naming the field, unless every word of it is understood."""
    return Policy(*read(path))


def _digest(authorization: str | None) -> str:
    """The SHA-256 of the key in a header; that of no key where there is none, which no file may hold."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    known = key.strip() if scheme.lower() == "bearer" else ""
    return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()
