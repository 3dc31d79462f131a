"""``ras-ext ask``: one guarded answer with its receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ras_ext.cli import options
from ras_ext.cli.opening import need_pack, open_model
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_pairs


def ask(
    model: options.Model,
    text: Annotated[str, typer.Option("--text", help="The question.", show_default=False)],
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="The image, if there is one.", show_default=False)
    ] = None,
    vectors: options.Vectors = None,
    max_new_tokens: options.MaxNewTokens = 128,
    carrier: Annotated[str, typer.Option("--carrier", help="How the dose is carried: state or logits.")] = "state",
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="A schedule of the pack: paper, auto.", show_default="the pack's own"),
    ] = None,
    context: Annotated[
        str, typer.Option("--context", help="Look at the image before judging: always, never, or auto for the pack's.")
    ] = "always",
    evidence: Annotated[
        str | None,
        typer.Option("--evidence", help="attention: let the risk of the image's regions count.", show_default=False),
    ] = None,
    revision: options.Revision = None,
    device: options.Device = None,
    dtype: options.Dtype = "auto",
    json: options.Json = False,
) -> None:
    """Answer one request under the guard, with the risk that was found and what was seen in the image."""
    with speaking(json) as out:
        pack = need_pack(model, vectors)
        if carrier not in ("state", "logits"):
            raise typer.BadParameter(f"{carrier!r} is no carrier; give state or logits", param_hint="--carrier")
        if context not in ("always", "never", "auto"):
            raise typer.BadParameter(
                f"{context!r} is not when to look; give always, never or auto", param_hint="--context"
            )
        if evidence not in (None, "attention"):
            raise typer.BadParameter(f"{evidence!r} is no evidence; give attention", param_hint="--evidence")
        from ras_ext.conversation import Request
        from ras_ext.guard import Guard
        from ras_ext.loading import load_vectors

        request = Request.of(image, text)
        loaded, processor = open_model(model, revision=revision, device=device, dtype=dtype)
        found = load_vectors(pack, model=loaded, processor=processor)
        guard = Guard(loaded, processor, found, carrier=carrier, schedule=schedule, context=context, evidence=evidence)
        answer = guard.generate_batch([request], max_new_tokens=max_new_tokens)[0]

        def show() -> None:
            typer.echo(answer.text)
            show_pairs(
                [
                    ("risk", f"{answer.risk:.4f} (similarity {answer.similarity:.4f}, baseline {found.s_base:.4f})"),
                    ("seen in the image", answer.visual_context or "–"),
                    ("refused", "yes" if answer.refused else "no"),
                    ("steered", f"{answer.steps} tokens, schedule {answer.schedule}, carried by {answer.carrier}"),
                    ("image run", f"{answer.image_prefills} times" if image else "–"),
                    ("answer", f"{answer.tokens} tokens in {answer.seconds:.2f} s"),
                    ("vectors", answer.vectors),
                ]
            )

        out.result(answer.to_dict(), show)
