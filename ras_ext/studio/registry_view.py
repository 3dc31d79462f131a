"""What the Registry tab shows: facts of a pack, its card and history, two packs side by side, pushes, checks."""

from __future__ import annotations

from collections.abc import Sequence

from ras_ext.registry import PackDiff, Published, Verified, Version
from ras_ext.registry.layout import CARD_FILE
from ras_ext.studio.card_html import card_html
from ras_ext.studio.places import HUB, LABELS, Seen
from ras_ext.studio.plates import table
from ras_ext.studio.remarks import note, warned


def seen_html(seen: Seen, past: Sequence[Version]) -> str:
    """A pack: facts, versions, card."""
    card = seen.pack.files.get(CARD_FILE, b"").decode("utf-8", "replace")
    return facts(seen) + history(past) + card_html(card, seen.pack.files)


def facts(seen: Seen) -> str:
    """The pack in figures, from its checked config."""
    config = seen.pack.config
    model, method = config["base_model"], config["method"]
    revision = f" at {model['revision'][:12]}" if model["revision"] else ""
    sizes = f"{model['n_layers']} layers, hidden {model['hidden_size']:,}, vocabulary {model['vocab_size']:,}"
    rows = [
        ("name", config["name"]),
        ("for the model", model["id"] + revision),
        ("which is", f"{model['architecture']}: {sizes}"),
        ("risk", f"r = σ({method['alpha']:.4g}·(S − {method['s_base']:.4g})), S over {method['n_score']} tokens"),
    ]
    for name, entry in method["schedules"].items():
        default = " (default)" if name == method["schedule"] else ""
        doses = ", ".join(f"{dose:.3g}" for dose in entry["doses"])
        rows.append((f"schedule {name}{default}", f"{entry['n_tokens']} tokens, doses {doses}"))
    rows += [
        ("revision", seen.revision or "none: it is part of the installation"),
        ("digest", seen.pack.digest),
        ("licence", config["license"] or "none given"),
        ("signed", "yes; Verify checks by whom" if seen.signed else "no"),
        ("files", ", ".join(sorted(seen.pack.members))),
        ("made with", f"ras_ext {config['ras_ext_version']}"),
    ]
    return table(f"Facts of {seen.key}", ("", ""), rows)


def history(past: Sequence[Version]) -> str:
    """The versions, newest first."""
    if not past:
        return note("Its place keeps no history of it.")
    rows = [(" ".join(one.tags) or "–", (one.date or "–")[:19], one.title, one.revision[:12]) for one in past]
    return table("Versions, newest first", ("version", "when", "what was new", "revision"), rows)


def difference(first: str, second: str, found: PackDiff) -> str:
    """Two packs: how far they agree, and all in which they do not."""
    verdict = f"{first} and {second} have {found.lines()[0]}."
    if found.same_digest:
        return note(verdict)
    fields = [one.sides() for one in found.fields]
    fields += [(path, old[:12], new[:12]) for path, old, new in (one.sides() for one in found.files)]
    tensors = [one.cells() for one in found.tensors]
    shown = table("What differs", ("field", first, second), fields) if fields else ""
    return note(verdict) + shown + table("Tensors", ("tensor", "what it is", "cosine by row"), tensors)


def published(done: Published, to: str) -> str:
    """What a push did or, after a dry run, would do."""
    if done.unchanged:
        head = f"Nothing to do: {done.name} holds exactly these files already."
    elif done.dry_run:
        new = " as a new repository" if done.created else ""
        head = f"A dry run, nothing was written: {done.name} would be published{new}. Publish does exactly this."
    else:
        head = f"Published: {done.name} {done.tag or ''}, digest {done.digest[:12]}."
    rows = [
        ("to", f"{LABELS[to]}, as {done.name}"),
        ("version", done.tag or "–"),
        ("revision", done.revision or "the Hub gives it"),
        ("digest", done.digest),
        ("signed", "yes" if done.signed else "no"),
    ]
    if to == HUB and done.created:
        rows.append(("may be seen by", "its owner only (private)" if done.private else "everybody (public)"))
    rows += [(name, f"{size:,} bytes") for name, size in sorted(done.files.items())]
    rows += [(name, "would be removed" if done.dry_run else "removed") for name in done.removed]
    return note(head) + table("What would be written" if done.dry_run else "What was written", ("", ""), rows)


_SIGNATURES = {
    "none": "it is not signed",
    "accepted": "its signature was made by an accepted key",
    "refused": "its signature is refused",
    "unchecked": "it is signed; by whom was not checked, since no key is named to check it with",
}


def verified(key: str, found: Verified) -> str:
    """What a check found."""
    signature = _SIGNATURES[found.signature]
    if found.ok:
        said = f"{key} is sound: every file has the hash it was published with, and {signature}."
        left = [f"{name} lies beside the pack and is no part of it" for name in found.unlisted]
        digest = table("What was checked", ("", ""), [("digest", found.digest or "–")])
        return note(said) + warned(left, "Beside it:") + digest
    return warned([f"{one}." for one in found.problems], f"{key} must not be used:")
