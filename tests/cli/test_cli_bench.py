"""``ras-ext bench`` as its users run it: one JSON object with the agreed fields, or a table; wrong use ends with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from ras_ext.cli.app import app
from tests.cli.cli_runs import only_json, run

FIELDS = [
    "op",
    "shape",
    "dtype",
    "device",
    "us",
    "eager_us",
    "compile_us",
    "speedup_eager",
    "speedup_compile",
    "bytes",
    "gb_per_s",
    "limit_gb_per_s",
    "fraction_of_limit",
]
ONE = ("bench", "--device", "cpu", "--op", "steer_", "--shape", "B=1 D=4096", "--no-compile", "--threads", 1)


def test_json_holds_rows_with_the_agreed_fields_first(tmp_path: Path) -> None:
    found = only_json(run(*ONE, "--json", cwd=tmp_path))
    assert list(found) == ["rows"]
    assert [(row["op"], row["shape"], row["dtype"]) for row in found["rows"]] == [
        ("steer_", "B=1 D=4096", "float32"),
        ("steer_", "B=1 D=4096", "bfloat16"),
    ]
    for row in found["rows"]:
        assert list(row)[: len(FIELDS)] == FIELDS
        assert row["speedup_eager"] == pytest.approx(row["eager_us"] / row["us"])
        assert row["fraction_of_limit"] == pytest.approx(row["gb_per_s"] / row["limit_gb_per_s"])
        assert (row["device"], row["threads"], row["compile_us"]) == ("cpu", 1, None)
        assert "torch.compile was not asked for" in row["remark"]
    wide, narrow = found["rows"]
    assert wide["bytes"] > narrow["bytes"] > 3 * 2 * 4096


def test_people_see_a_table_that_names_the_machine_and_what_is_missing(tmp_path: Path) -> None:
    done = run(*ONE, "--dtype", "float32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("threads=1", "steer_", "B=1 D=4096", "f32", "torch.compile was not asked for"):
        assert said in done.stdout
    assert "bf16" not in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--op", "fly"], "'fly' is no operator; known are steer_"),
        (["--dtype", "int8"], "'int8' is no dtype; known are float32"),
        (["--shape", "B=7"], "'B=7' is no measured shape"),
        (["--device", "moon"], "'moon' is no device; give cpu or cuda"),
        (["--device", "meta"], "'meta' is no device; give cpu or cuda"),
        (["--device", "cuda:99"], "torch sees no such GPU"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_wrong_use_ends_with_2_and_one_sentence(
    args: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        app(["bench", *args, "--json"], prog_name="ras-ext")
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
