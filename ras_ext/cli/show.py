"""``ras-ext show``: a pack as a person wants to read it: for which model, how it judges and steers, what it did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ras_ext.cli import options
from ras_ext.cli.output import speaking
from ras_ext.cli.tables import show_markdown, show_pairs

if TYPE_CHECKING:
    from ras_ext.registry import Opened


def show(
    pack: options.Pack,
    revision: options.PackRevision = None,
    registry: options.Registry = None,
    lock: options.Lock = None,
    json: options.Json = False,
) -> None:
    """Show what a pack is: its model, thresholds, schedules, calibration, evidence and signature."""
    with speaking(json) as say:
        from ras_ext.registry import locate
        from ras_ext.registry.layout import read_signature

        opened = locate(pack, revision=revision, registry=registry, lock=lock)
        config = opened.pack.config
        found = {
            "name": config["name"],
            "path": str(opened.pack.path),
            "source": str(opened.source) if opened.source else None,
            "revision": opened.revision,
            "digest": opened.pack.digest,
            "content_sha256": opened.pack.content_sha256,
            "signed": read_signature(opened.pack.path) is not None,
            "config": dict(config),
            "tensors": {name: list(tensor.shape) for name, tensor in opened.pack.tensors.items()},
        }
        say.result(found, lambda: _show(opened, found["signed"]))


def _show(opened: Opened, signed: bool) -> None:
    from ras_ext.registry.card import evidence_section
    from ras_ext.registry.card_tables import calibration_tables

    pack = opened.pack
    config = pack.config
    model, method, prompts = config["base_model"], config["method"], config["prompts"]
    where = f"{opened.source}@{(opened.revision or '')[:12]}" if opened.source else str(pack.path)
    sizes = f"{model['n_layers']} layers, hidden {model['hidden_size']:,}, vocabulary {model['vocab_size']:,}"
    show_pairs(
        [
            ("for the model", f"{model['id']}{'@' + model['revision'][:12] if model['revision'] else ''}"),
            ("", f"{model['architecture']}: {sizes}"),
            ("from", where),
            ("digest", pack.digest),
            ("licence", config["license"] or "none given"),
            ("signed", "yes (`ras-ext verify --trusted-key FILE` checks by whom)" if signed else "no"),
            ("files", ", ".join(["ras_config.json", *sorted(config["files"])])),
        ],
        f"{config['name']} – made with ras_ext {config['ras_ext_version']}",
    )
    show_pairs(
        [
            ("risk", f"r = σ({method['alpha']:.4g}·(S − {method['s_base']:.4g})), S over {method['n_score']} tokens"),
            ("S: risk", " → ".join(f"{s:.2f}: {_risk(method, s):.2f}" for s in _grid(method["s_base"]))),
            *(
                (
                    f"schedule {name}" + (" (default)" if name == method["schedule"] else ""),
                    f"{entry['n_tokens']} tokens, doses {', '.join(f'{dose:.3g}' for dose in entry['doses'])}",
                )
                for name, entry in method["schedules"].items()
            ),
            ("tokens count", ", ".join(f"{method['gamma'] ** n:.3g}" for n in range(method["n_score"]))),
            (
                "attention heads",
                f"{len(method['attention_heads'])} chosen" if method["attention_heads"] else "none chosen",
            ),
        ],
        "How it judges and steers",
    )
    show_pairs([(name, str(prompts[name])) for name in prompts], "Prompts")
    show_markdown(calibration_tables(config["calibration"]), "Calibration")
    show_markdown(evidence_section(config["evidence"]), "Evidence")


def _risk(method: Mapping[str, Any], similarity: float) -> float:
    return 1.0 / (1.0 + math.exp(-method["alpha"] * (similarity - method["s_base"])))


def _grid(base: float) -> list[float]:
    return [max(0.0, base - 0.2), max(0.0, base - 0.1), base, min(1.0, base + 0.1), min(1.0, base + 0.2)]
