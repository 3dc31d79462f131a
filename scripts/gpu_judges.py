"""What the steps of the GPU check read from their tools' reports: each judge answers (ok, what it saw)."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path


def tests(report: Path, needs_cuda: bool) -> tuple[bool, str]:
    """A report of pytest: nothing failed, and no CUDA row was skipped where they are needed."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    cuda = [case for case in cases if re.search(r"\bcuda\b", case.get("name", ""))]
    skipped = [case for case in cases if case.find("skipped") is not None]
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    ran = [case for case in cuda if case not in skipped]
    told = f"{len(cases) - len(skipped) - len(bad)} passed, {len(bad)} failed, {len(skipped)} skipped; "
    told += f"CUDA rows: {len(ran)} run, {len(cuda) - len(ran)} skipped"
    if bad:
        return False, f"{told}; the first that failed is {bad[0].get('name')}"
    if needs_cuda and not ran:
        return False, f"{told}; no CUDA row ran"
    if needs_cuda and len(ran) < len(cuda):
        missed = next(case for case in cuda if case in skipped)
        skip = missed.find("skipped")
        return False, f"{told}; {missed.get('name')} was skipped: {skip.get('message') if skip is not None else ''}"
    return bool(cases), told


def sanitizer(log: str) -> tuple[bool, str]:
    """compute-sanitizer's own summary; a run in which it watched nothing has none."""
    found = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", log)
    if not found:
        return False, "compute-sanitizer gave no summary"
    return all(re.match(r"0 (errors|hazards)", line) for line in found), "; ".join(found)


def planted(log: str) -> tuple[bool, str]:
    """The twin: the fault planted in a kernel of its own must have been found."""
    clean, found = sanitizer(log)
    return "no summary" not in found and not clean, f"planted fault: {found}"


def limits(path: Path) -> tuple[bool, str]:
    """The table of limits: written, with a time in each row. An aim that is not met is told and fails nothing."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    timed = [row for row in rows if row["us"] and float(row["us"]) > 0]
    met = sum(row["met"] == "yes" for row in rows)
    return bool(rows) and len(timed) == len(rows), f"{len(timed)} of {len(rows)} rows measured, {met} meet their aim"


def end_to_end(path: Path) -> tuple[bool, str]:
    """The table of whole requests: a time in each row. What the defence costs is told and fails nothing."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    timed = [row for row in rows if row["whole_ms"] and float(row["whole_ms"]) > 0]
    costs = [f"batch {row['batch']} {row['relative_throughput']}" for row in timed if row["defence"] == "ras"]
    told = f"{len(timed)} of {len(rows)} rows measured; relative throughput: {', '.join(costs)}"
    return bool(costs) and len(timed) == len(rows), told


def bench(path: Path) -> tuple[bool, str]:
    """The rows of a benchmark: each has a time."""
    rows = json.loads(path.read_text())["rows"]
    timed = [row for row in rows if (row["us"] or 0) > 0]
    return bool(rows) and len(timed) == len(rows), f"{len(timed)} of {len(rows)} rows measured"
