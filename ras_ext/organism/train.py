"""Trains the organism from nothing: ``python -m ras_ext.organism.train --out FOLDER``.

A curriculum: first the eyes (the vision tower learns to tag pictures), then, with the eyes frozen, captions, and then
the whole mixture of lessons. AdamW with one cycle each for eyes and language; eleven minutes on two Xeon cores.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from ras_ext.organism import MODEL, architecture, lessons
from ras_ext.organism.sight import Tagger, any_picture, pixels


@dataclass(frozen=True)
class Plan:
    """How long and how fast: steps of tagging, of captions, and of the whole mixture."""

    sight: int = 500
    captions: int = 300
    mixture: int = 1700
    batch: int = 64
    peak: float = 1.5e-3
    seed: int = 7


def encode(example: lessons.Lesson, ids: dict[str, int]) -> tuple[list[int], list[int]]:
    """Token ids of a lesson in the chat template's form, and labels: only what the assistant says is learnt."""
    tokens, labels = [ids["<s>"]], [-100]
    for turn, (asked, answered) in enumerate(example.turns):
        image = [ids["<image>"]] * architecture.IMAGE_TOKENS if example.picture and turn == 0 else []
        heard = [ids["<user>"], *image, *(ids[w] for w in asked.split()), ids["<assistant>"]]
        said = [*(ids[w] for w in answered.split()), ids["</s>"]]
        tokens += heard + said
        labels += [-100] * len(heard) + said
    return tokens, labels


def batch_of(examples: list[lessons.Lesson], ids: dict[str, int], rng: random.Random) -> dict[str, torch.Tensor]:
    """Right-padded tensors for one step."""
    rows = [encode(example, ids) for example in examples]
    width = max(len(tokens) for tokens, _ in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full_like(input_ids, -100)
    mask = torch.zeros_like(input_ids)
    for row, (tokens, targets) in enumerate(rows):
        input_ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.tensor(targets)
        mask[row, : len(tokens)] = 1
    batch = {"input_ids": input_ids, "labels": labels, "attention_mask": mask}
    pictures = [example.picture for example in examples if example.picture]
    if pictures:
        batch["pixel_values"] = pixels(pictures, rng)
    return batch


def cycle(
    name: str, weights: Iterable[nn.Parameter], steps: int, peak: float, loss_of: Callable[[], torch.Tensor]
) -> None:
    """Runs one cycle of AdamW over `steps` losses, with a progress bar or a line every hundred steps."""
    weights = list(weights)
    optimizer = torch.optim.AdamW(weights, lr=peak, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.1)
    bar = Progress(
        TextColumn(f"training the organism: {name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(name, total=steps, loss=float("nan"))
        recent = 0.0
        for step in range(1, steps + 1):
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            recent += (loss.item() - recent) / min(step, 50)
            bar.update(task, advance=1, loss=recent)
            if bar.disable and step % 100 == 0:
                print(f"{name} {step}/{steps} loss {recent:.4f}", file=sys.stderr, flush=True)


def train(out: Path, plan: Plan) -> None:
    """Trains by `plan` and writes the model folder to `out`."""
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)
    processor = architecture.build_processor()
    ids = processor.tokenizer.get_vocab()
    model = architecture.build_model(len(ids)).train()

    tagger = Tagger(model.model.vision_tower, model.config.vision_config.hidden_size)
    cycle(
        "sight",
        tagger.parameters(),
        plan.sight,
        plan.peak,
        lambda: tagger.loss([any_picture(rng) for _ in range(2 * plan.batch)], rng),
    )
    # Left to learn on, the tower forgets the names again before language has found them.
    tagger.tower.requires_grad_(False)
    kinds = chain(repeat(lessons.sight, plan.captions), repeat(lessons.lesson))

    def language() -> torch.Tensor:
        lesson = next(kinds)
        return model(**batch_of([lesson(rng) for _ in range(plan.batch)], ids, rng)).loss

    learning = [weight for weight in model.parameters() if weight.requires_grad]
    cycle("language", learning, plan.captions + plan.mixture, plan.peak, language)
    architecture.save(model.eval(), processor, out)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the model organism from nothing.")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write the model to")
    for name, default in Plan().__dict__.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    arguments = vars(parser.parse_args())
    train(arguments.pop("out"), Plan(**arguments))


if __name__ == "__main__":
    main()
