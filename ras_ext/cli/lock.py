"""``ras-ext lock``: writes down which bytes names stand for, and checks that they still can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_table


def lock(
    packs: Annotated[
        list[str] | None, typer.Argument(metavar="PACK…", help="Names to pin.", show_default=False)
    ] = None,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="The lock file.")] = Path("ras.lock.json"),
    check: Annotated[bool, typer.Option("--check", help="Only check that all entries can be loaded.")] = False,
    registry: options.Registry = None,
    require_signature: options.RequireSignature = False,
    trusted_key: options.TrustedKeys = None,
    trust: options.Trust = None,
    json: options.Json = False,
) -> None:
    """Pin names to exact bytes in a lock file, which RAS_EXT_LOCK or load_vectors(…, lock=…) then obeys."""
    with speaking(json) as say:
        from ras_ext.registry import check_pins, pin, read_lock

        signatures: dict[str, Any] = {
            "require_signature": require_signature,
            "trusted_keys": tuple(trusted_key or ()),
            "trust": trust,
        }
        if check:
            if packs:
                raise typer.BadParameter("--check looks at all entries; leave the names out", param_hint="PACK")
            state = check_pins(file, **signatures)
        else:
            if not packs:
                raise typer.BadParameter("name a pack to pin, or give --check", param_hint="PACK")
            pin(packs, file, registry=registry, **signatures)
            state = {}
        entries = read_lock(file)
        found = {
            name: {
                "repo": entry.repo,
                "url": entry.url,
                "revision": entry.revision,
                "digest": entry.digest,
                "problem": state.get(name),
            }
            for name, entry in entries.items()
        }
        rows = [
            (name, entry.repo or "this machine", (entry.revision or "–")[:12], state.get(name) or entry.digest[:12])
            for name, entry in entries.items()
        ]
        say.result(
            {"file": str(file), "packs": found},
            lambda: show_table(("name", "repository", "revision", "digest, or what is wrong"), rows, str(file)),
        )
        say.code = 1 if any(state.values()) else 0
