"""How many GPUs serve so many requests a second, defended: pure arithmetic over named inputs.

What follows from the method and the model's shape is computed. What a GPU does in a second is *assumed* until you put
in your own figure, and the output says so. Nothing here is a measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ras_ext.errors import InputError
from ras_ext.serve.engine.told import tokens_needed

MODEL, METHOD, TRAFFIC, ASSUMED = "model", "method", "traffic", "assumed"
STAGES = ("look", "judge", "answer")
_F32 = 4
_GIB = 2**30


def _input(default: float, kind: str, says: str, least: float = 0.0) -> Any:
    return field(default=default, metadata={"kind": kind, "says": says, "least": least})


@dataclass(frozen=True)
class Plan:
    """The inputs. LLaVA-1.5-7B's shape by default; everything of the kind ``assumed`` is to be replaced by your own."""

    parameters: float = _input(7.06e9, MODEL, "parameters of the whole model", 1)
    layers: int = _input(32, MODEL, "decoder layers", 1)
    kv_heads: int = _input(32, MODEL, "key and value heads of a layer", 1)
    head_size: int = _input(128, MODEL, "numbers of a head", 1)
    hidden: int = _input(4096, MODEL, "numbers of a state", 1)
    vocabulary: int = _input(32064, MODEL, "logits of a token", 2)
    value_bytes: int = _input(2, MODEL, "bytes of a weight and of a cached number", 1)
    image_tokens: int = _input(576, MODEL, "tokens of an image", 1)
    image_side: int = _input(336, MODEL, "pixels of a prepared image's side", 1)

    score_tokens: int = _input(3, METHOD, "tokens that are scored (n_score)", 1)
    context_tokens: int = _input(40, METHOD, "most tokens of the visual context", 1)
    steered_tokens: int = _input(3, METHOD, "steps of the schedule", 1)
    packs: int = _input(1, METHOD, "packs that the engine holds", 1)
    block: int = _input(16, METHOD, "vLLM's --block-size: whole blocks are shared", 1)

    rate: float = _input(1000.0, TRAFFIC, "requests a second", 1e-9)
    before_image: int = _input(5, TRAFFIC, "tokens before the image: template and system prompt")
    question_tokens: int = _input(40, TRAFFIC, "tokens of question and template behind the image", 1)
    look_tokens: int = _input(60, TRAFFIC, "tokens of stage 1's own question", 1)
    safety_tokens: int = _input(90, TRAFFIC, "tokens of the safety prompt")
    answer_tokens: int = _input(200, TRAFFIC, "tokens of an answer", 1)
    image_bytes: int = _input(200_000, TRAFFIC, "bytes of a picture as clients hold it")

    prefill_rate: float = _input(20_000.0, ASSUMED, "prompt tokens that a GPU runs a second", 1e-9)
    decode_rate: float = _input(4_000.0, ASSUMED, "tokens that a GPU writes a second, its batch full", 1e-9)
    encode_rate: float = _input(200.0, ASSUMED, "images that a GPU's vision tower takes a second", 1e-9)
    step_seconds: float = _input(0.03, ASSUMED, "seconds of one step of a full batch", 1e-9)
    gpu_gib: float = _input(80.0, ASSUMED, "memory of a GPU in GiB", 1e-9)
    memory_share: float = _input(0.9, ASSUMED, "vLLM's --gpu-memory-utilization", 1e-9)
    working_gib: float = _input(4.0, ASSUMED, "GiB of activations and graphs beside weights and cache")
    busy: float = _input(0.7, ASSUMED, "share of its rate that a GPU is planned at", 1e-9)

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least = getattr(self, one.name), one.metadata["least"]
            if not math.isfinite(value) or value < least:
                raise InputError(f"{one.name} must be at least {least:g}, got {value!r}; it is: {one.metadata['says']}")
        for name in ("memory_share", "busy"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} must be at most 1, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Stage:
    """One engine request of the three: tokens of its prompt, those run anew (shared) and those written."""

    prompt: int
    fresh: int
    written: int


def stages(plan: Plan, shared: bool = True) -> dict[str, Stage]:
    """What each stage runs and writes for one request with an image.

    `shared`: stages 2 and 3 find what stands before the first words behind the image cached, in whole blocks.
    """
    start = plan.before_image + plan.image_tokens
    found = start // plan.block * plan.block if shared else 0
    prompts = {
        "look": start + plan.look_tokens,
        "judge": start + plan.safety_tokens + plan.context_tokens + plan.question_tokens,
        "answer": start + plan.question_tokens,
    }
    written = {
        "look": plan.context_tokens,
        "judge": plan.score_tokens - 1 + tokens_needed(plan.vocabulary),
        "answer": plan.answer_tokens,
    }
    return {
        name: Stage(prompt, prompt - (0 if name == "look" else found), written[name])
        for name, prompt in prompts.items()
    }


def gpu_seconds(plan: Plan, measured: dict[str, float], shared: bool = True) -> dict[str, float]:
    """GPU-seconds of each stage of one request; those `measured` stand in place of what the rates say."""
    found = {}
    for name, stage in stages(plan, shared).items():
        # The image goes through its tower in stage 1; vLLM's encoder cache, or nothing, holds it for the others.
        encoded = 1 / plan.encode_rate if name == "look" or not shared else 0.0
        arithmetic = encoded + stage.fresh / plan.prefill_rate + stage.written / plan.decode_rate
        found[name] = measured.get(name, arithmetic)
    return found


def undefended_seconds(plan: Plan, measured: dict[str, float]) -> float:
    """GPU-seconds of one request that is only answered: whole prompt, image and all."""
    if "undefended" in measured:
        return measured["undefended"]
    prompt = stages(plan)["answer"].prompt
    return 1 / plan.encode_rate + prompt / plan.prefill_rate + plan.answer_tokens / plan.decode_rate


def memory(plan: Plan) -> dict[str, float]:
    """Bytes: of one cached token, of one image's states, of the packs, of what is kept for one request being judged."""
    return {
        "cached_token": 2 * plan.layers * plan.kv_heads * plan.head_size * plan.value_bytes,
        "encoded_image": plan.image_tokens * plan.hidden * plan.value_bytes,
        "weights": plan.parameters * plan.value_bytes,
        "pack_logits": plan.packs * plan.steered_tokens * plan.vocabulary * _F32,
        "pack_states": plan.packs * plan.steered_tokens * plan.hidden * plan.value_bytes,
        "pack_mixtures": plan.packs * plan.vocabulary * _F32,
        "judged_request": plan.score_tokens * plan.vocabulary * _F32,
    }


def capacity(plan: Plan, measured: dict[str, float] | None = None) -> dict[str, Any]:
    """GPUs, memory and network for the plan."""
    measured = measured or {}
    known = {*STAGES, "undefended"}
    for name, value in measured.items():
        if name not in known or not math.isfinite(value) or value <= 0:
            raise InputError(
                f"measured seconds must be above 0 and of {', '.join(sorted(known))}, got {name}={value!r}"
            )
    run, size = stages(plan), memory(plan)
    each = gpu_seconds(plan, measured)
    by_time = plan.rate * sum(each.values()) / plan.busy
    # Little: how many are under way at once is how many come in a second times how long each one stays.
    steps = {name: stage.written for name, stage in run.items()}
    under_way = {name: plan.rate * steps[name] * plan.step_seconds for name in STAGES}
    cached = sum(under_way[name] * (run[name].prompt + run[name].written / 2) for name in STAGES)
    room = plan.gpu_gib * _GIB * plan.memory_share - size["weights"] - plan.working_gib * _GIB
    room -= size["pack_logits"] + size["pack_mixtures"]
    if room <= 0:
        raise InputError(f"the weights leave no memory for a cache on a GPU of {plan.gpu_gib:g} GiB; split the model")
    by_memory = cached * size["cached_token"] / room
    gpus = math.ceil(max(by_time, by_memory))
    undefended = math.ceil(plan.rate * undefended_seconds(plan, measured) / plan.busy)
    image = 3 * plan.image_side**2 * plan.value_bytes
    return {
        "stages": {name: asdict(stage) for name, stage in run.items()},
        "stages_unshared": {name: asdict(stage) for name, stage in stages(plan, shared=False).items()},
        "gpu_seconds": each,
        "gpu_seconds_unshared": gpu_seconds(plan, measured, shared=False),
        "gpu_seconds_undefended": undefended_seconds(plan, measured),
        "gpus": gpus,
        "gpus_by_time": by_time,
        "gpus_by_memory": by_memory,
        "gpus_undefended_by_time": undefended,
        "requests_a_gpu_a_second": plan.rate / gpus,
        "under_way": under_way,
        "under_way_a_gpu": sum(under_way.values()) / gpus,
        "seconds_until_first_token": (steps["look"] + steps["judge"] + 1) * plan.step_seconds,
        "memory": {
            **size,
            "cache_all": cached * size["cached_token"],
            "cache_room_a_gpu": room,
            "encoded_images_a_gpu": plan.rate / gpus * (steps["look"] + steps["judge"]) * plan.step_seconds
            * size["encoded_image"],
            "judged_a_gpu": under_way["judge"] / gpus * size["judged_request"],
        },
        "network": {
            "clients_bytes_a_second": plan.rate * math.ceil(plan.image_bytes / 3) * 4,
            "pixels_to_engines_bytes_a_second": plan.rate * image * len(STAGES),
            "packs_to_each_worker_bytes": plan.packs * _F32 * (plan.steered_tokens * plan.hidden + plan.vocabulary),
        },
        "inputs": {one.name: getattr(plan, one.name) for one in fields(plan)},
        "assumed": [
            one.name
            for one in fields(plan)
            if one.metadata["kind"] == ASSUMED and getattr(plan, one.name) == one.default
        ],
        "measured": measured,
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The outcome for people."""
    lines = [
        "| stage | prompt tokens | run anew | without sharing | tokens written | GPU-seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name in STAGES:
        stage, seconds = found["stages"][name], found["gpu_seconds"][name]
        other = found["stages_unshared"][name]["fresh"]
        lines.append(
            f"| {name} | {stage['prompt']} | {stage['fresh']} | {other} | {stage['written']} | {seconds:.4f} |"
        )
    size, net = found["memory"], found["network"]
    lines += [
        "",
        f"GPUs: {found['gpus']} ({found['gpus_by_time']:.1f} by time, {found['gpus_by_memory']:.1f} by memory); "
        f"undefended, by time: {found['gpus_undefended_by_time']}",
        f"under way at once: {sum(found['under_way'].values()):.0f}, {found['under_way_a_gpu']:.0f} a GPU",
        f"until the first token: {found['seconds_until_first_token']:.2f} s of steps",
        f"KV cache: {size['cached_token'] / 2**10:.0f} KiB a token, {size['cache_all'] / _GIB:.0f} GiB in all, "
        f"room of {size['cache_room_a_gpu'] / _GIB:.1f} GiB a GPU",
        f"packs: {(size['pack_logits'] + size['pack_mixtures']) / 2**20:.2f} MiB a worker; "
        f"being judged: {size['judged_a_gpu'] / 2**20:.2f} MiB a GPU",
        f"images between stages: {size['encoded_images_a_gpu'] / 2**20:.0f} MiB a GPU",
        f"network: {net['clients_bytes_a_second'] / 1e6:.0f} MB/s from clients, "
        f"{net['pixels_to_engines_bytes_a_second'] / 1e6:.0f} MB/s of pixels to the engines",
        f"ASSUMED, not measured: {', '.join(found['assumed']) or 'nothing'}",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the plan; every input is an option."""
    parser = argparse.ArgumentParser(description=__doc__)
    for one in fields(Plan):
        says = f"{one.metadata['says']} ({one.metadata['kind']}; {one.default:g})"
        kind = int if isinstance(one.default, int) else float
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=one.default, help=says)
    parser.add_argument(
        "--measured",
        action="append",
        default=[],
        metavar="STAGE=SECONDS",
        help="GPU-seconds of a request's look, judge, answer, or undefended, measured under full load",
    )
    parser.add_argument("--json", action="store_true")
    asked = vars(parser.parse_args(arguments))
    as_json, given = asked.pop("json"), asked.pop("measured")
    try:
        found = capacity(Plan(**asked), dict(map(_seconds, given)))
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(found, indent=2) if as_json else table(found))
    return 0


def _seconds(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(f"--measured takes STAGE=SECONDS, got {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
