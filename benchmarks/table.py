"""Writes the tables of README.md, and the costs on docs/guard.md and docs/deploy.md, from the CSVs under results/,
between two markers on each page.

``python benchmarks/table.py [--check]``; with ``--check`` nothing is written and the exit code is 1 where the page
is not what the CSVs say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from ras_ext.benchmark import record

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: written by table.py -->", "<!-- end of tables -->"
COSTS = HERE.parent / "docs" / "guard.md"
BEGIN_COSTS, END_COSTS = "<!-- costs: written by benchmarks/table.py -->", "<!-- end of costs -->"
SERVED = HERE.parent / "docs" / "deploy.md"
BEGIN_SERVED, END_SERVED = "<!-- in_vllm: written by benchmarks/table.py -->", "<!-- end of in_vllm -->"
_PEERS = {
    "op": "op",
    "shape": "shape",
    "dtype": "type",
    "threads": "threads",
    "cache": "cache",
    "us": "µs",
    "eager_us": "eager µs",
    "compile_us": "compile µs",
    "speedup_eager": "× eager",
    "speedup_compile": "× compile",
    "fraction_of_limit": "of copy rate",
}
# The columns shown of each question's CSV, and what they are called; of any other CSV all are shown.
COLUMNS: dict[str, dict[str, str]] = {
    "ops_against_peers": {**_PEERS, "peers": "published peers, µs"},
    "gpu_limits": {
        **{name: head for name, head in _PEERS.items() if name != "threads"},
        "floor_us": "floor µs",
        "aim_us": "aim µs",
        "met": "met",
    },
    "near_the_limit": {
        "op": "op",
        "shape": "shape",
        "dtype": "type",
        "cache": "cache",
        "threads": "threads",
        "bytes": "bytes",
        "us": "µs",
        "gb_per_s": "GB/s",
        "limit_gb_per_s": "copy GB/s",
        "fraction_of_limit": "of copy rate",
    },
    "memory_of_attention": {
        "text_rows": "text rows",
        "keys": "keys",
        "dtype": "type",
        "ours_mb": "ours MB",
        "eager_mb": "eager MB",
    },
}


def tables(results: Path) -> str:
    """All tables, one section a machine; what the machine is stands above its figures."""
    folders = sorted(path.parent for path in results.glob(f"*/{record.MACHINE}"))
    sections = [section(folder) for folder in folders if list(folder.glob("*.csv"))]
    return "\n\n".join(sections) if sections else "Nothing is recorded yet."


def section(folder: Path) -> str:
    """A machine and its tables."""
    facts = json.loads((folder / record.MACHINE).read_text(encoding="utf-8"))
    on = facts["device"] if facts["device"] != "cpu" else f"{facts['cpu']}, {facts['cores']} cores"
    lines = [
        f"## {folder.name}",
        "",
        f"{on}; torch {facts['torch']}, Python {facts['python']}; ours: {facts['operators']}.",
    ]
    for path in sorted(folder.glob("*.csv")):
        lines += ["", f"### {path.stem}", "", *table(path.stem, record.read(path))]
        if path.with_suffix(".png").exists():
            lines += ["", f"![{path.stem}](results/{folder.name}/{path.stem}.png)"]
    return "\n".join(lines)


def table(question: str, rows: list[dict[str, str]]) -> list[str]:
    """A Markdown table; columns that are empty in every row are left out."""
    heads: Mapping[str, str] = COLUMNS.get(question) or {name: name for name in rows[0]}
    shown = [name for name in heads if any(row.get(name) for row in rows)]
    lines = [f"| {' | '.join(heads[name] for name in shown)} |", "|" + "---|" * len(shown)]
    return lines + [f"| {' | '.join(row.get(name) or '–' for name in shown)} |" for row in rows]


def costs(results: Path) -> str:
    """What each defence costs a whole request, side by side for the sizes of batch, one table a machine."""
    found = []
    for path in sorted(results.glob("*/end_to_end.csv")):
        rows = [row for row in record.read(path) if row["new_tokens"].isdigit()]
        sizes = list(dict.fromkeys(row["batch"] for row in rows))
        heads = [f"{what}, batch {size}" for size in sizes for what in ("throughput", "first token ms", "peak memory")]
        lines = [f"| | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 1)]
        for name in dict.fromkeys(row["defence"] for row in rows):
            cells = []
            for size in sizes:
                row = next((row for row in rows if (row["defence"], row["batch"]) == (name, size)), {})
                cells += [row.get(key) or "–" for key in ("relative_throughput", "first_token_ms", "relative_peak")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        found.append("\n".join(lines))
    return "\n\n".join(found) if found else "Nothing is recorded yet."


def served(results: Path) -> str:
    """What the defence costs inside vLLM, for both kinds of traffic, one table a machine."""
    found = []
    for path in sorted(results.glob("*/in_vllm.csv")):
        rows = record.read(path)
        traffics = list(dict.fromkeys(row["traffic"] for row in rows))
        heads = [f"{what}, {traffic}" for traffic in traffics for what in ("tokens/s", "× undefended", "× guard")]
        lines = [f"| in | | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 2)]
        for where, name in dict.fromkeys((row["where"], row["contender"]) for row in rows):
            cells = []
            for traffic in traffics:
                key = (where, name, traffic)
                row = next((row for row in rows if (row["where"], row["contender"], row["traffic"]) == key), {})
                cells += [row.get(head) or "–" for head in ("tokens_per_s", "against_undefended", "against_guard")]
            lines.append(f"| {where} | {name} | {' | '.join(cells)} |")
        found.append("\n".join(lines))
    return "\n\n".join(found) if found else "Nothing is recorded yet."


def filled(path: Path, text: str, begin: str, end: str, content: str) -> str:
    """The page with the content between its two markers."""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"table: {path.name} must hold the lines {begin!r} and {end!r}; put them back")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--page", type=Path, default=HERE / "README.md")
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--served", type=Path, default=SERVED)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    for path, begin, end, content in (
        (given.page, BEGIN, END, tables(given.results)),
        (given.costs, BEGIN_COSTS, END_COSTS, costs(given.results)),
        (given.served, BEGIN_SERVED, END_SERVED, served(given.results)),
    ):
        text = path.read_text(encoding="utf-8")
        wanted = filled(path, text, begin, end, content)
        if given.check and wanted != text:
            sys.exit(f"table: {path} is not what the CSVs say; run python benchmarks/table.py")
        if wanted != text:
            path.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
