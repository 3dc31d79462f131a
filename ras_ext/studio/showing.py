"""Pieces of the Try tab as HTML: the gauge, both answers, the receipt, the first words. All text in them is escaped."""

from __future__ import annotations

import math
from html import escape

from ras_ext.explaining import FirstWords
from ras_ext.studio.asking import BASELINE, Told

_STAGES = {
    "waiting": "waiting for the model",
    "judging": "looking at the request and judging it",
    "defended": "writing the defended answer",
    "undefended": "writing the undefended answer",
}


def gauge(told: Told) -> str:
    """The risk on a scale from 0 to 1 with the baseline marked; what is going on while there is none."""
    if told.risk is None or told.vectors is None:
        ahead = f", {told.ahead} before you" if told.ahead else ""
        return f'<p class="ras-note" role="status">{_STAGES[told.stage].capitalize()}{ahead} …</p>'
    risk, similarity = told.risk.risk, told.risk.similarity
    over = not risk < BASELINE
    verdict = "above the baseline: steered toward refusal" if over else "below the baseline: answered almost as it is"
    scale = (
        f"S = {similarity:.3f} against S_base = {told.vectors.s_base:.3f}, slope α = {told.vectors.alpha:.1f}"
        if math.isfinite(similarity)
        else "the model's scores were not finite, which counts as full risk"
    )
    return (
        f'<div class="ras-gauge {"ras-high" if over else "ras-low"}">'
        f'<p><span class="ras-big">risk {risk:.3f}</span> {verdict}</p>'
        f'<div class="ras-scale" role="meter" aria-label="risk" aria-valuemin="0" aria-valuemax="1" '
        f'aria-valuenow="{risk:.3f}" aria-valuetext="risk {risk:.3f}, {verdict}">'
        f'<div class="ras-fill" style="width:{100 * risk:.2f}%"></div><div class="ras-mark"></div></div>'
        f'<p class="ras-ticks" aria-hidden="true"><span>0</span><span>baseline {BASELINE}</span><span>1</span></p>'
        f'<p class="ras-small">{scale}</p></div>'
    )


def seen(told: Told) -> str:
    """What stage 1 says of the picture."""
    if told.risk is None or told.question.image is None:
        return ""
    context = escape(told.risk.visual_context) or "<em>nothing</em>"
    return f'<p class="ras-note">In the picture, as far as safety goes, the model sees: <q>{context}</q></p>'


def defended(told: Told) -> str:
    """The steered answer as it is written."""
    how = "waiting" if told.risk is None else ""
    tail = _cursor(told, "defended")
    if told.answer is not None:
        first = "" if told.seconds is None else f", first word after {told.seconds:.2f} s"
        how = f"{_kind(told.answer.refused)}, {told.answer.tokens} tokens{first}"
    return _answer("Defended", "ras-safe-side", f'<p class="ras-text">{escape(told.defended)}{tail}</p>', how)


def undefended(told: Told) -> str:
    """The model's own answer: behind a click and marked where it may be harmful, and not told before that is known."""
    if not told.question.beside:
        return _answer("Undefended", "ras-plain-side", "<p>left out</p>", "")
    text, tail = escape(told.undefended), _cursor(told, "undefended")
    how = "" if told.plain_tokens is None else f"{told.plain_tokens} tokens"
    if not told.hidden:
        return _answer("Undefended", "ras-plain-side", f'<p class="ras-text">{text}{tail}</p>', how)
    if told.plain_tokens is None:
        count = len(told.undefended.split())
        body = f"<p>{f'{count} words so far, hidden' if count else 'hidden'}{tail}</p>"
    else:
        body = (
            '<details class="ras-hidden"><summary><strong>May be harmful.</strong> Show what the model answers without '
            f'the defence</summary><p class="ras-text">{text}</p></details>'
        )
    return _answer("Undefended", "ras-plain-side", body, how)


def receipt(told: Told) -> str:
    """The defended answer's receipt as a table."""
    if told.answer is None or told.vectors is None:
        return ""
    answer = told.answer
    doses = ", ".join(f"{dose:.3f}" for dose in answer.dose) or "none"
    rows = [
        ("risk r", f"{answer.risk:.6f}"),
        ("similarity S", f"{answer.similarity:.6f}"),
        ("baseline S_base, slope α", f"{told.vectors.s_base:.4f}, {told.vectors.alpha:.2f}"),
        ("dose of each steered token", doses),
        ("steered tokens", f"{answer.steps} of {answer.tokens}"),
        ("schedule", answer.schedule),
        ("opens with a refusal", "yes" if answer.refused else "no"),
        ("visual context", answer.visual_context or "–"),
        ("vectors", answer.vectors),
        ("carrier", answer.carrier),
        ("image run through the model", _times(answer.image_prefills)),
    ]
    lines = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f'<div class="ras-scroll" tabindex="0"><table class="ras-table">{lines}</table></div>'


def why(words: FirstWords | None) -> str:
    """The first words of the request beside those of a refusal, and what each adds to S."""
    if words is None:
        return ""
    steps = "".join(
        f'<tr><th scope="row">{number}</th><td class="n">{step.weight:.2f}</td><td>{_likely(step.asked)}</td>'
        f"<td>{_likely(step.refusing)}</td></tr>"
        for number, step in enumerate(words.steps, 1)
    )
    shares = "".join(
        f'<tr><th scope="row">{escape(word.text)}</th><td class="n">{word.asked:.3f}</td>'
        f'<td class="n">{word.refusing:.3f}</td><td class="n">{word.share:.4f}</td></tr>'
        for word in words.words
    )
    return (
        "<p>The score compares what the model would first say to the request, put with the safety prompt, with how it "
        "begins its refusals.</p>"
        '<div class="ras-scroll" tabindex="0"><table class="ras-table"><caption>Token by token, with probabilities'
        '</caption><thead><tr><th scope="col">token</th><th scope="col" class="n">counts</th>'
        '<th scope="col">to this request</th><th scope="col">in refusals</th></tr></thead>'
        f"<tbody>{steps}</tbody></table></div>"
        '<div class="ras-scroll" tabindex="0"><table class="ras-table"><caption>Word by word: weight on either side, '
        f"and the part of S = {words.similarity:.4f} that they make up together</caption>"
        '<thead><tr><th scope="col">word</th><th scope="col" class="n">this request</th>'
        '<th scope="col" class="n">refusals</th><th scope="col" class="n">part of S</th></tr></thead>'
        f'<tbody>{shares}<tr><th scope="row">all others</th><td></td><td></td><td class="n">{words.rest:.4f}</td></tr>'
        "</tbody></table></div>"
    )


def _likely(tokens: tuple[tuple[str, float], ...]) -> str:
    if not tokens:
        return "<em>ended</em>"
    return ", ".join(f"{escape(text)}&nbsp;{probability:.3f}" for text, probability in tokens)


def _answer(name: str, side: str, body: str, how: str) -> str:
    foot = f'<p class="ras-small">{how}</p>' if how else ""
    return f'<section class="ras-answer {side}" aria-label="{name} answer"><h2>{name}</h2>{body}{foot}</section>'


def _times(count: int) -> str:
    return {0: "not at all", 1: "once"}.get(count, f"{count} times")


def _kind(refused: bool) -> str:
    return "refused" if refused else "answered"


def _cursor(told: Told, stage: str) -> str:
    return '<span class="ras-cursor" aria-hidden="true">▍</span>' if told.stage == stage else ""
