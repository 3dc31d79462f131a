"""``ras-ext verify``: checks packs in folders, published ones as a newcomer sees them, or a whole folder registry."""

from __future__ import annotations

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_table


def verify(
    pack: options.Pack,
    registry: options.Registry = None,
    require_signature: options.RequireSignature = False,
    trusted_key: options.TrustedKeys = None,
    trust: options.Trust = None,
    json: options.Json = False,
) -> None:
    """Check every file, hash and signature of a pack, or of a whole folder registry. Exit code 1 if one is not ok."""
    with speaking(json) as say:
        from ras_ext.registry import verify as check

        found = check(pack, registry=registry, **options.signatures(require_signature, trusted_key, trust))
        ok = all(entry.ok for entry in found)
        rows = [
            (
                entry.name,
                "ok" if entry.ok else "damaged",
                entry.signature,
                "\n".join(entry.problems) or (entry.digest or "")[:12],
            )
            for entry in found
        ]

        def show() -> None:
            show_table(("pack", "state", "signature", "digest, or what is wrong"), rows)
            for entry in found:
                for name in entry.unlisted:
                    typer.echo(f"{entry.name}: {name} lies in the folder but is no part of the pack", err=True)

        say.result({"ok": ok, "packs": [entry.to_dict() for entry in found]}, show)
        say.code = 0 if ok else 1
