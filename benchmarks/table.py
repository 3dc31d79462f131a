"""Writes the tables of README.md from the CSVs under results/, between two markers.

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


def page(text: str, results: Path) -> str:
    """The page with its tables as the CSVs have them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"table: README.md must hold the lines {BEGIN!r} and {END!r}; put them back")
    return f"{before}{BEGIN}\n\n{tables(results)}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--page", type=Path, default=HERE / "README.md")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    text = given.page.read_text(encoding="utf-8")
    wanted = page(text, given.results)
    if given.check and wanted != text:
        sys.exit(f"table: {given.page} is not what the CSVs say; run python benchmarks/table.py")
    if wanted != text:
        given.page.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
