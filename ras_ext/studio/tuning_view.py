"""What the Tune tab shows of two settings: a table of shares, its doubts, and the requests that change sides."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ras_ext.evaluation.score import Row
from ras_ext.studio.comparison import SHARES, Change, changes, curve, doubt
from ras_ext.studio.outcomes import FAR, Outcomes, Reading, Setting, shares
from ras_ext.studio.remarks import note
from ras_ext.studio.threshold_curve import drawn
from ras_ext.studio.thumbnails import Thumbnails
from ras_ext.studio.tuned_pack import Tuned

_COUNTS = {"asr": "n_unsafe", "asr_content": "n_content", "over_refusal": "n_safe", "utility": "n_utility"}
_SHOWN = 6  # changes for the worse, and as many for the better
_LENGTH = 600  # characters of an answer that are shown


def compared(outcomes: Outcomes, chosen: Setting, pictures: Thumbnails) -> tuple[str, str, str]:
    """The curve, the table and the changes, as HTML."""
    before, after = outcomes.at(outcomes.own), outcomes.at(chosen)
    names = ("pack’s own", "chosen")
    return (
        drawn(curve(outcomes, chosen.slope), outcomes, chosen),
        f"<p class='ras-settings'>Pack’s own: {setting_said(outcomes.own)}. Chosen: {setting_said(chosen)}.</p>"
        + table(shares(before), shares(after), names)
        + _doubted(outcomes, before, after),
        _changed(changes(before, after), pictures),
    )


def setting_said(setting: Setting) -> str:
    """A setting in few words."""
    return f"threshold {setting.threshold:.3f}, slope {setting.slope:.4g}"


def table(before: Row, after: Row, names: tuple[str, str], last: str = "change") -> str:
    """Two rows of shares side by side, with what they were counted over and their difference."""
    lines = []
    for key, (title, meaning) in SHARES.items():
        cells = f"<td class='n'>{_share(before, key)}</td><td class='n'>{_share(after, key)}</td>"
        lines.append(
            f"<tr><th scope='row'>{escape(title)}<small>{escape(meaning)}</small></th>{cells}"
            f"<td class='n'>{_difference(getattr(before, key), getattr(after, key))}</td></tr>"
        )
    heads = "".join(f"<th scope='col' class='n ras-wrap'>{escape(name)}</th>" for name in (*names, last))
    return (
        "<div class='ras-scroll' tabindex='0' role='region' aria-label='Shares side by side'>"
        "<table class='ras-table ras-compare'><thead><tr><th scope='col'>share, with its 95 % interval</th>"
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _share(row: Row, key: str) -> str:
    share, interval = getattr(row, key), row.intervals[key]
    if share is None or interval is None:
        return "–<small>none to count</small>"
    total = getattr(row, _COUNTS[key])
    return (
        f"{100 * share:.1f} %<small>{round(share * total)} of {total}</small>"
        f"<small>{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %</small>"
    )


def _difference(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "–"
    change = 100 * (after - before)
    return "±0" if abs(change) < 0.05 else f"{change:+.1f}".replace("-", "−") + " points"


def _doubted(outcomes: Outcomes, before: Sequence[Reading], after: Sequence[Reading]) -> str:
    said = []
    for name, readings in (("pack’s own", before), ("chosen", after)):
        found = doubt(readings)
        said.append(
            f"<li>{name}: {found.far} of {found.total} read off from a risk further than {FAR:g} away; "
            f"{found.either} may be either, since the answers on both sides of their risk were judged differently.</li>"
        )
    return (
        "<div class='ras-note' role='status'><p>These shares are read off from answers given at other risks, under the "
        f"schedule “{escape(outcomes.schedule)}”, on {escape(outcomes.data)}; saving measures them.</p>"
        f"<ul>{''.join(said)}</ul></div>"
    )


def _changed(found: Sequence[Change], pictures: Thumbnails) -> str:
    if not found:
        return "<h3>Requests that change sides</h3><p class='ras-note'>None: every request counts as it did.</p>"
    parts = ["<h3>Requests that change sides</h3>"]
    for title, worse in (("Got worse", True), ("Got better", False)):
        some = [change for change in found if change.worse is worse]
        parts.append(f"<h4>{title}: {len(some)}</h4>")
        parts += [_change(change, pictures) for change in some[:_SHOWN]]
        if len(some) > _SHOWN:
            parts.append(f"<p class='ras-note'>And {len(some) - _SHOWN} more.</p>")
    return f"<div class='ras-changes'>{''.join(parts)}</div>"


def _change(change: Change, pictures: Thumbnails) -> str:
    item = change.before.outcome.item
    earlier = "".join(
        f"<p><b>earlier:</b> {escape(asked)} <b>→</b> {escape(answered)}</p>" for asked, answered in item.history
    )
    kind = f" · {escape(item.kind)}" if item.kind else ""
    return (
        f"<article class='ras-change'>{pictures.html(item)}<div>"
        f"<p><span class='ras-label-{item.label}'>{item.label}</span>{kind} · {escape(change.what)}</p>"
        f"{earlier}<p class='ras-asked'>{escape(_clip(item.text))}</p>"
        f"<dl>{_answer('before', change.before)}{_answer('after', change.after)}</dl></div></article>"
    )


def _answer(when: str, reading: Reading) -> str:
    record = reading.record
    text = f"<p>{escape(_clip(record.answer)) or '<i>nothing</i>'}</p>"
    if (record.label == "unsafe" and not record.refused) or record.content:
        text = (
            "<details class='ras-hidden'><summary>An unsafe request was answered; show it</summary>"
            f"<p><b>May be harmful.</b></p>{text}</details>"
        )
    doubtful = ", may be either" if reading.doubtful else ""
    return f"<dt>{when}: risk {reading.risk:.2f}{doubtful}</dt><dd>{text}</dd>"


def _clip(text: str) -> str:
    return text if len(text) <= _LENGTH else text[:_LENGTH].rstrip() + " …"


def saved_html(tuned: Tuned, name: str) -> str:
    """What was saved, and its shares as measured beside those that were read off."""
    published = tuned.published
    said = (
        f"Nothing is new: {name}@{published.tag} holds exactly this already."
        if published.unchanged
        else f"Saved as {name}@{published.tag} (digest {published.digest[:12]}), with its evidence."
    )
    kept = f"The answers are kept as the run {tuned.run}; its questions stay on this machine."
    return (
        note(f"{said} {kept} It can be chosen on the other tabs and published on Registry.")
        + "<h4 class='ras-heading'>Read off, and measured</h4>"
        + table(tuned.read_off, tuned.measured, ("read off", "measured"), "apart")
        + "<h4 class='ras-heading'>Without the defence, and with it</h4>"
        + table(tuned.undefended, tuned.measured, ("without", "with"), "change")
    )
