"""``ras-ext push``: publishes a pack on the Hub or in a folder registry, as one commit and one version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs


def push(
    pack: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the pack.", show_default=False)],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="owner/name on the Hub, or a folder registry: a directory, s3://…",
            show_default="the pack's own name, with --registry",
        ),
    ] = None,
    registry: options.Registry = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Title of the commit.", show_default="name and digest")
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who may see a repository this makes.", show_default="the Hub's own"),
    ] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Branch to push to.", show_default="main")] = None,
    pull_request: Annotated[bool, typer.Option("--pr", help="Open a pull request instead of committing.")] = False,
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="COMMIT", help="Refuse unless this is the newest commit.", show_default=False),
    ] = None,
    tag: Annotated[bool, typer.Option("--tag/--no-tag", help="Give the commit the next version: v1, v2, …")] = True,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign with this private key.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: options.Json = False,
) -> None:
    """Publish a pack: checked first, then one commit and one version. The token is the Hub client's (HF_TOKEN)."""
    with speaking(json) as say:
        from ras_ext.registry import push as publish

        done = publish(
            pack,
            target,
            registry=registry,
            message=message,
            private=private,
            branch=branch,
            create_pr=pull_request,
            parent_commit=parent,
            tag=tag,
            sign_key=sign,
            dry_run=dry_run,
        ).to_dict()
        say.result(done, lambda: show_pushed(done))


def show_pushed(done: dict[str, Any]) -> None:
    """Prints what a push did, or would do."""
    would = "would be " if done["dry_run"] else ""
    state = "unchanged: these bytes are there already" if done["unchanged"] else f"{would}pushed"
    if done["created"] and not done["unchanged"]:
        state += ", as a new repository"
    files = [f"{name}  {size:,} bytes" for name, size in sorted(done["files"].items())]
    files += [f"{name}  {would}removed" for name in done["removed"]]
    pairs = [
        ("pack", f"{done['name']} ({state})"),
        ("version", " ".join(filter(None, (done["tag"], done["revision"]))) or "–"),
        ("digest", done["digest"]),
        ("signed", "yes" if done["signed"] else "no"),
        ("files", "\n".join(files)),
    ]
    if done["pull_request"]:
        pairs.append(("pull request", done["pull_request"]))
    elif done["url"]:
        pairs.append(("address", done["url"]))
    show_pairs(pairs)
    if not done["dry_run"] and not done["pull_request"]:
        name = done["name"] if done["source"] == "hub" else done["url"]
        typer.echo(f"next: ras-ext pull {name}")
