"""Options that several commands share, so that they mean and say the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model's folder, Hub id, alias, or builtin:organism.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")]
Vectors = Annotated[
    str | None,
    typer.Option(
        "--vectors",
        metavar="PACK",
        help="Steering vectors: a folder, alias, Hub id, or builtin:organism.",
        show_default="the pack of that name, where MODEL is built in or an alias",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="Where to run: cpu, cuda, cuda:1.", show_default="cuda, if there is one")
]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, bfloat16, float16, or auto for the checkpoint's own.")]
Revision = Annotated[str | None, typer.Option("--revision", help="Hub revision of the model.", show_default=False)]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Requests at a time.")]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")]
Unsafe = Annotated[
    Path | None,
    typer.Option("--unsafe", metavar="FILE", help="Queries to refuse, one a line.", show_default="a built-in list"),
]
Safe = Annotated[
    Path | None,
    typer.Option("--safe", metavar="FILE", help="Queries to answer, one a line.", show_default="a built-in list"),
]
Pack = Annotated[
    str,
    typer.Argument(
        metavar="PACK", help="A folder, alias, Hub name, or address in a folder registry.", show_default=False
    ),
]
PackRevision = Annotated[
    str | None,
    typer.Option("--revision", help="Commit, branch or tag (v2) of the pack.", show_default="as last fetched"),
]
Registry = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        help="A folder registry to take names from: a directory, s3://bucket/folder, or any fsspec URL.",
        show_default="RAS_EXT_REGISTRY, else the Hub",
    ),
]
RequireSignature = Annotated[
    bool, typer.Option("--require-signature", help="Refuse a pack that no accepted key has signed.")
]
TrustedKeys = Annotated[
    list[Path] | None,
    typer.Option("--trusted-key", metavar="FILE", help="Public key (PEM) whose signature is required; repeatable."),
]
Trust = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        metavar="FILE",
        help="JSON file of namespaces and the keys accepted for them.",
        show_default="RAS_EXT_TRUST, else trust.json in RAS_EXT_HOME",
    ),
]
Lock = Annotated[
    Path | None,
    typer.Option("--lock", metavar="FILE", help="Lock file that decides what names mean.", show_default="RAS_EXT_LOCK"),
]


def signatures(require_signature: bool, trusted_key: list[Path] | None, trust: Path | None) -> dict[str, Any]:
    """RequireSignature, TrustedKeys and Trust as the registry takes them."""
    return {"require_signature": require_signature, "trusted_keys": tuple(trusted_key or ()), "trust": trust}
