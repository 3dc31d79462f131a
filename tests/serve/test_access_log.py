"""The access log: what stands in a line, and that no request fails because a line could not be written."""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import os
import re
import resource
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ras_ext.errors import InputError, ModelError
from ras_ext.serve.server.access_log import AccessEntry, AccessLog
from ras_ext.serve.server.reasons import a_word, reason_of
from ras_ext.serve.server.tenants import Unauthorized

PAGE = (Path(__file__).parents[2] / "docs" / "serving-policy.md").read_text(encoding="utf-8")
ENTRY = AccessEntry(
    "req-1",
    tenant="one",
    pack="mine",
    revision="v2",
    action="steered",
    risk=0.25,
    similarity=0.4,
    steered_tokens=3,
    prompt_tokens=50,
    answer_tokens=12,
    seconds={"look": 0.1, "judge": 0.2, "answer": 0.3},
    text={"prompt": "what is in the picture", "answer": "a bowl of fruit"},
)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_request_is_one_line_of_json(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    assert log.write(ENTRY)
    (line,) = lines(tmp_path / "log")
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert line == {
        "level": "info",
        "request_id": "req-1",
        "tenant": "one",
        "pack": "mine",
        "revision": "v2",
        "action": "steered",
        "risk": 0.25,
        "similarity": 0.4,
        "steered_tokens": 3,
        "status": 200,
        "prompt_tokens": 50,
        "answer_tokens": 12,
        "seconds": {"look": 0.1, "judge": 0.2, "answer": 0.3},
        "error": None,
    }


def test_text_is_written_only_where_it_was_asked_for(tmp_path: Path) -> None:
    AccessLog(tmp_path / "without").write(ENTRY)
    AccessLog(tmp_path / "with", with_text=True).write(ENTRY)
    assert "fruit" not in (tmp_path / "without").read_text()
    assert lines(tmp_path / "with")[0]["text"] == ENTRY.text


def test_a_message_that_quotes_the_client_is_no_reason(tmp_path: Path) -> None:
    AccessLog(tmp_path / "log").write(AccessEntry("1", status=400, error="messages must be a list, got 'my secret'"))
    AccessLog(tmp_path / "log").write(AccessEntry("2", status=400, error=reason_of(InputError("got 'my secret'"))))
    assert [line["error"] for line in lines(tmp_path / "log")] == ["other", "input"]


def test_errors_have_a_reason_of_one_word() -> None:
    class HTTPException(Exception):  # noqa: N818
        pass

    errors = (InputError("x"), Unauthorized("x"), ModelError("x"), TimeoutError(), OSError(), HTTPException())
    assert [reason_of(error) for error in errors] == ["input", "unauthorized", "model", "timeout", "os", "http"]
    assert [a_word(reason) for reason in ("engine_dead", "Two words", "", "x" * 41)] == ["engine_dead"] + ["other"] * 3


def test_a_risky_request_and_a_fault_of_the_server_are_warnings() -> None:
    entries = (
        AccessEntry("1"),
        AccessEntry("2", risky=True),
        AccessEntry("3", status=500),
        AccessEntry("4", status=400),
    )
    assert [entry.to_dict()["level"] for entry in entries] == ["info", "warning", "warning", "info"]


def test_what_is_no_number_is_null_and_what_a_client_chose_stays_on_its_line(tmp_path: Path) -> None:
    nasty = "a\nb\x1b[2J\u2028\udc80" + "c" * 1000
    AccessLog(tmp_path / "log").write(AccessEntry(nasty, risk=1.0, similarity=math.nan, seconds={"look": math.inf}))
    raw = (tmp_path / "log").read_bytes()
    assert raw.count(b"\n") == 1
    assert raw.isascii()
    assert b"\x1b" not in raw
    (line,) = lines(tmp_path / "log")
    assert (line["similarity"], line["seconds"]) == (None, {"look": None})
    assert line["request_id"] == nasty[:200]


def test_threads_and_processes_write_whole_lines_to_one_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_write_many, args=(file, f"process{at}")) for at in range(2)]
    for other in others:
        other.start()
    log = AccessLog(file)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda at: log.write(AccessEntry(f"thread-{at}")), range(200)))
    for other in others:
        other.join()
    expected = {f"thread-{at}" for at in range(200)} | {f"process{one}-{at}" for one in range(2) for at in range(200)}
    found = [line["request_id"] for line in lines(file)]
    assert len(found) == 600
    assert set(found) == expected


def _write_many(file: Path, name: str) -> None:
    log = AccessLog(file)
    for at in range(200):
        log.write(AccessEntry(f"{name}-{at}"))


def test_a_file_is_gone_on_with_even_after_it_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = AccessLog(file)
    log.write(AccessEntry("1"))
    AccessLog(file).write(AccessEntry("2"))
    assert [line["request_id"] for line in lines(file)] == ["1", "2"]
    os.truncate(file, 0)
    log.write(AccessEntry("3"))
    assert [line["request_id"] for line in lines(file)] == ["3"]
    assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0


def test_a_full_disk_fails_no_request_and_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    log = AccessLog("/dev/full")
    assert [log.write(ENTRY) for _ in range(3)] == [False] * 3
    assert log.failed == 3
    said = capsys.readouterr().err
    assert said.count("the access log /dev/full cannot be written") == 1


def test_a_line_that_was_torn_does_not_spoil_the_next(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = AccessLog(file)
    log.write(AccessEntry("1"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, hard))
    try:
        assert [log.write(AccessEntry(name)) for name in ("2", "3")] == [False, False]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.write(AccessEntry("4"))
    assert log.write(AccessEntry("5"))
    first, torn, *rest = file.read_text().splitlines()
    assert len(torn) == 20
    assert [json.loads(line)["request_id"] for line in (first, *rest)] == ["1", "4", "5"]
    assert log.failed == 2


def test_a_closed_log_or_stream_fails_no_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    of_stream, of_file = AccessLog(stream), AccessLog(tmp_path / "log")
    assert of_stream.write(ENTRY)
    stream.close()
    of_file.close()
    of_file.close()
    assert [log.write(ENTRY) for log in (of_stream, of_file)] == [False, False]
    assert capsys.readouterr().err.count("cannot be written") == 2


def test_nor_does_one_while_stderr_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    stream = io.StringIO()
    stream.close()
    assert not AccessLog(stream).write(ENTRY)


def test_without_a_file_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    AccessLog().write(ENTRY)
    assert json.loads(capsys.readouterr().out)["request_id"] == "req-1"


def test_a_log_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "log"):
        with pytest.raises(InputError, match="cannot be opened"):
            AccessLog(path)


def test_every_field_is_described_on_the_page() -> None:
    section = PAGE.split("## The access log", 1)[1].split("## Metrics", 1)[0]
    described = {
        name for row in re.findall(r"^\| (`[a-z_`, ]+`) \|", section, re.MULTILINE) for name in re.findall(r"\w+", row)
    }
    assert described == {"time", *ENTRY.to_dict(with_text=True)}
