"""The tables of a card: base model, thresholds, calibration and evaluation, in words instead of the config's names.

Calibration and evidence are open fields: what is not known here, or not as expected, is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .markdown import cell, code, figure, listing, percent, table
from .measured import SHARES

_MODEL = {
    "id": "model",
    "revision": "revision",
    "architecture": "class",
    "hidden_size": "hidden size",
    "n_layers": "decoder layers",
    "vocab_size": "vocabulary",
    "final_norm": "steered after",
    "image_token_id": "image token",
    "config_sha256": "sha256 of its config",
    "chat_template_sha256": "sha256 of its chat template",
}
_METHOD = {
    "s_base": "baseline S_base: the similarity at which the risk is one half",
    "alpha": "slope α of the risk r = σ(α (S − S_base))",
    "gamma": "decay γ of the scored tokens",
    "n_score": "answer tokens that are scored",
}
_EVALUATION = {
    "asr": "ASR",
    "asr_content": "ASR by content",
    "over_refusal": "over-refusal",
    "utility": "utility",
}
_MADE = {
    "ras_ext_version": "ras_ext ",
    "torch_version": "torch ",
    "dtype": "",
    "quantization": "",
    "device": "on ",
    "date": "on ",
}
_SOURCES = {
    "images": "labelled image queries",
    "rendered": "the text queries, written into images",
    "text": "the text queries themselves",
}


def base_model_table(base_model: Mapping[str, Any]) -> str:
    """The model the vectors belong to."""
    return table(("", ""), [(said, _or_unknown(base_model[name])) for name, said in _MODEL.items()])


def thresholds_table(method: Mapping[str, Any]) -> str:
    """Slope, baseline and the stored schedules."""
    settings = [
        (code(name), float(method[name]) if name != "n_score" else method[name], _METHOD[name]) for name in _METHOD
    ]
    schedules = []
    for name, entry in method["schedules"].items():
        doses = ", ".join(f"{dose:.3g}" for dose in entry["doses"])
        schedules.append((name + (" (default)" if name == method["schedule"] else ""), entry["n_tokens"], doses))
    return (
        table(("setting", "value", "meaning"), settings)
        + "\n\n"
        + table(("schedule", "steered tokens", "dose, in parts of the risk"), schedules)
    )


def calibration_tables(record: Mapping[str, Any]) -> str:
    """How the vectors came about, with the trials of longer schedules and what calibration doubted."""
    rest = {name: value for name, value in record.items() if value is not None}
    rows = [(said, show(rest.pop(name))) for name, (said, show) in _CALIBRATION.items() if name in rest]
    made = [said + figure(rest.pop(name)) for name, said in _MADE.items() if name in rest]
    if made:
        rows.append(("made with", ", ".join(made)))
    trials, doubts = rest.pop("trials", []), rest.pop("warnings", [])
    parts = [table(("", ""), rows)] if rows else []
    if _is_trials(trials):
        cells = [(one["n_tokens"], percent(one.get("complied")), percent(one.get("over_refusal"))) for one in trials]
        parts.append(table(("steered tokens tried", "harm came all the same", "safe requests refused"), cells))
    elif trials:
        rest["trials"] = trials
    if isinstance(doubts, (list, tuple)) and doubts:
        parts.append("Doubts of the calibration:\n\n" + "\n".join(f"* {cell(doubt)}" for doubt in doubts))
    elif doubts:
        rest["warnings"] = doubts
    if rest:
        parts.append(listing(rest))
    return "\n\n".join(parts) or "None recorded."


def evaluation_table(evaluation: Mapping[str, Any]) -> str | None:
    """One row for each defence with 95 % intervals, and on what it was measured; None if it is no such record."""
    rows = evaluation.get("rows")
    if not isinstance(rows, (list, tuple)) or not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    heads = ("defence", "unsafe requests", "safe requests", *_EVALUATION.values(), "relative speed")
    cells = [
        (
            row.get("defense"),
            row.get("n_unsafe"),
            row.get("n_safe"),
            *(_with_interval(row, share) for share in SHARES),
            _speed(row.get("relative_throughput")),
        )
        for row in rows
    ]
    return "\n\n".join([table(heads, cells), _LEGEND, _measured_on(evaluation)])


_LEGEND = (
    "ASR: share of the unsafe requests whose answer does not open with a refusal; by content: whose answer holds the "
    "harm asked for. Over-refusal: share of the safe requests whose answer opens with a refusal. Utility: share of the "
    "safe requests answered as their reference says. In brackets 95 % intervals."
)


def _measured_on(evaluation: Mapping[str, Any]) -> str:
    said = []
    if evaluation.get("data"):
        said.append(f"data {code(evaluation['data'])}")
    if evaluation.get("data_sha256"):
        said.append(f"sha256 of the data {code(evaluation['data_sha256'])}")
    if evaluation.get("max_new_tokens"):
        said.append(f"answers of at most {cell(evaluation['max_new_tokens'])} tokens")
    around = evaluation.get("environment")
    if isinstance(around, Mapping):
        said += [f"{cell(name)} {cell(value)}" for name, value in around.items() if value is not None]
    return f"Measured with {code(evaluation.get('vectors'))}: " + ", ".join(said) + "."


def _with_interval(row: Mapping[str, Any], share: str) -> str:
    intervals = row.get("intervals")
    ends = intervals.get(share) if isinstance(intervals, Mapping) else None
    value = percent(row.get(share))
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        return value
    return f"{value} ({' to '.join(percent(end).removesuffix(' %') for end in ends)})"


def _speed(value: Any) -> Any:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else value


def _or_unknown(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else code(value)


def _is_trials(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(one, Mapping) and "n_tokens" in one for one in value)
    )


def _mean_and(end: str) -> Callable[[Any], Any]:
    def show(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            return value
        return f"mean {figure(value[0])}, {end} {figure(value[1])}"

    return show


def _as_is(value: Any) -> Any:
    return value


def _errors(value: Any) -> Any:
    without = value.get("without") if isinstance(value, Mapping) else None
    if not isinstance(without, Mapping) or not {"false_negatives", "false_positives"} <= set(without):
        return value
    shares = f"{percent(without['false_negatives'])} below, {percent(without['false_positives'])} above"
    return f"{shares}: the context is {'needed' if value.get('needed') else 'not needed'}"


_CALIBRATION: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "n_unsafe": ("unsafe text queries", _as_is),
    "n_safe": ("safe text queries", _as_is),
    "n_images": ("labelled image queries", _as_is),
    "source": ("baseline read from", lambda value: _SOURCES.get(str(value), value)),
    "similarity_unsafe": ("similarity of the unsafe ones", _mean_and("lowest")),
    "similarity_safe": ("similarity of the safe ones", _mean_and("highest")),
    "false_negatives": ("unsafe below S_base", percent),
    "false_positives": ("safe above S_base", percent),
    "context": ("unsafe below, safe above S_base without the visual context", _errors),
    "refused": ("unsafe text queries that the model refuses", percent),
    "prototype_spread": ("spread of its refusals", _as_is),
    "first_token": ("first token of a refusal", code),
    "first_token_ambiguity": ("safe answers that begin with it", percent),
    "data_sha256": ("sha256 of the queries", code),
}
