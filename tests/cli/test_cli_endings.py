"""How commands end: exit codes, one line on what went wrong, and a stdout that holds one JSON object or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from ras_ext.cli.app import app
from ras_ext.cli.opening import model_of, need_pack, public_name
from ras_ext.cli.output import speaking
from ras_ext.errors import InputError, ModelError
from tests.cli.conftest import Workplace

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def invoke(capfd: pytest.CaptureFixture[str]) -> Invoke:
    """Runs a command in this process: (exit code, stdout, stderr), both as file descriptors got them."""

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(arg) for arg in args], prog_name="ras-ext")
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_wrong_use_ends_with_2_and_an_empty_stdout(invoke: Invoke, workplace: Workplace) -> None:
    data, model, pack = workplace.data, workplace.model, workplace.pack
    for args, said in [
        (["fly"], "No such command"),
        (["ask", model, "--vectors", pack], "--text"),
        (["ask", model, "--text", "w1"], "--vectors"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--carrier", "pigeon"], "pigeon"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--dtype", "int8"], "is no dtype"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--context", "maybe"], "'maybe' is not when to look"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--evidence", "hearsay"], "'hearsay' is no evidence"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--device", "moon"], "is no device"),
        (["eval", model, "--data", data], "--vectors"),
        (["eval", model, "--data", data, "--defense", "magic"], "'magic' is no defence"),
        (["calibrate", model, "--schedule", "never"], "'never' is no schedule"),
        (["calibrate", model, "--license", "My Own"], "'My Own' is no licence"),
        (["eval", "builtin:organism", "--data", data, "--record"], "result is written into a pack's"),
        (["eval", model, "--vectors", "builtin:organism", "--data", data, "--record"], "'builtin:organism' is none"),
        (["eval", model, "--vectors", "llava-1.5", "--data", data, "--record"], "'llava-1.5' is none"),
        (["eval", model, "--vectors", data.parent, "--data", data, "--record"], "there is no pack at"),
        (["eval", model, "--vectors", pack, "--data", data, "--defense", "none", "--record"], "add --defense ras"),
        (["demo", "--items", "2"], "--items"),
    ]:
        for extra in ([], ["--json"]):
            if args[0] == "fly" and extra:
                continue
            code, out, err = invoke(*args, *extra)
            assert code == 2, (args, err)
            assert out == "", args
            assert said in " ".join(err.split()), (args, err)


def test_a_failed_run_ends_with_1_and_one_line_that_says_what_to_do(
    invoke: Invoke, workplace: Workplace, tmp_path: Path
) -> None:
    model, pack, data = workplace.model, workplace.pack, workplace.data
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff\xfe\x00")
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n\n")
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({"safety": 3}))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "w1", "label": "safe", "image": "none.png"}\n')
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("dear")
    for args, said in [
        (["ask", model, "--vectors", tmp_path / "none", "--text", "w1"], "no pack at"),
        (["ask", tmp_path / "none", "--vectors", pack, "--text", "w1"], "there is no folder"),
        (["ask", tmp_path, "--vectors", pack, "--text", "w1"], "holds no config.json"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--image", tmp_path / "no.png"], "no.png' does not exist"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--image", bad], "is no image"),
        (["ask", model, "--vectors", pack, "--text", " "], "at least one word"),
        (["ask", model, "--vectors", pack, "--text", "w1", "--schedule", "magic"], "no schedule 'magic'"),
        (["calibrate", model, "--out", tmp_path / "p", "--unsafe", bad], "is not UTF-8 (byte 0"),
        (["calibrate", model, "--out", tmp_path / "p", "--safe", empty], "holds no query"),
        (["calibrate", model, "--out", tmp_path / "p", "--safe", tmp_path / "no"], "cannot be read: No such file"),
        (["calibrate", model, "--out", tmp_path / "p", "--prompts", prompts], "safety must be a text, got 3"),
        (["calibrate", model, "--out", tmp_path / "p", "--prompts", bad], "is not UTF-8"),
        (["calibrate", model, "--out", tmp_path / "p", "--prompts", empty], "is not JSON"),
        (["calibrate", model, "--out", tmp_path / "p", "--images", broken], "line 1: the image"),
        (["calibrate", model, "--out", taken], "no part of a pack (letter.txt)"),
        (["eval", model, "--data", broken, "--defense", "none"], "broken.jsonl line 1: the image"),
        (["eval", model, "--data", data, "--defense", "none", "--out", bad], "bad.txt"),
    ]:
        code, out, err = invoke(*args)
        assert (code, out) == (1, ""), (args, err)
        assert err.startswith("error: "), (args, err)
        assert err.count("\n") == 1, (args, err)
        assert said in err, (args, err)
        code, out, err = invoke(*args, "--json")
        assert code == 1
        assert json.loads(out) == {"error": err.strip().removeprefix("error: ")}
    assert not (tmp_path / "p").exists()
    assert sorted(path.name for path in taken.iterdir()) == ["letter.txt"]


def test_a_pack_of_another_model_is_refused(invoke: Invoke, workplace: Workplace, tmp_path: Path) -> None:
    config = json.loads((workplace.model / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for path in workplace.model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config["text_config"]["rms_norm_eps"] = 0.5
    (other / "config.json").write_text(json.dumps(config))
    code, _, err = invoke("ask", other, "--vectors", workplace.pack, "--text", "w1")
    assert code == 1
    assert "not for this model" in err
    assert err.count("\n") == 1


def test_people_see_the_answer_and_tables(invoke: Invoke, workplace: Workplace, tmp_path: Path) -> None:
    code, out, _ = invoke(
        "ask", workplace.model, "--vectors", workplace.pack, "--text", "w1 [w2]", "--schedule", "paper"
    )
    assert code == 0
    assert "risk" in out
    assert "3 tokens, schedule paper, carried by state" in out
    args = ["eval", workplace.model, "--data", workplace.data, "--defense", "none", "--max-new-tokens", 4]
    code, out, err = invoke(*args, "--out", tmp_path / "out")
    assert code == 0
    assert "none" in out
    assert str(tmp_path / "out") in out.replace("\n", "")
    code, again, err = invoke(*args, "--out", tmp_path / "out")
    assert again == out
    assert "14 answers were taken over" in err
    code, _, err = invoke(*args, "--out", tmp_path / "out", "--batch-size", 3)
    assert code == 1
    assert "different batch_size" in err


def noisy() -> None:
    print("from python")
    os.write(1, b"from below\n")


def test_under_json_nothing_but_the_object_reaches_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with speaking(True) as out:
        noisy()
        out.result({"a": float("nan"), "b": [float("inf"), 1.5], "c": "é"}, noisy)
    seen = capfd.readouterr()
    assert seen.out == '{"a": null, "b": [null, 1.5], "c": "é"}\n'
    assert "from python" in seen.err
    assert "from below" in seen.err
    noisy()
    assert capfd.readouterr().out == "from python\nfrom below\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("this was wrong; do that"), 1, "error: this was wrong; do that"),
        (KeyError("x"), 1, "error: KeyError: 'x'; this is a fault of ras-ext or of the model's files"),
        (MemoryError("big"), 1, "error: out of memory (big); lower --batch-size"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device; check the path"),
        (ValueError("two\nlines"), 1, "error: ValueError: two lines; "),
        (KeyboardInterrupt(), 130, "interrupted; come back"),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_every_error_becomes_one_line(
    error: BaseException, code: int, said: str, as_json: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with speaking(as_json) as out:
            out.if_interrupted = "come back"
            raise error

    with pytest.raises(typer.Exit) as ended:
        fail()
    assert ended.value.exit_code == code
    seen = capfd.readouterr()
    assert seen.err.startswith(said)
    assert seen.err.count("\n") == 1
    assert (json.loads(seen.out)["error"] == seen.err.strip().removeprefix("error: ")) if as_json else seen.out == ""


def test_a_traceback_is_shown_where_it_is_asked_for(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAS_EXT_TRACEBACK", "1")
    with pytest.raises(typer.Exit), speaking(False):
        raise KeyError("x")
    assert "Traceback" in capfd.readouterr().err


def test_names_lead_to_models_and_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_of("builtin:organism") == "builtin:organism"
    assert model_of("llava-1.5") == "llava-hf/llava-1.5-7b-hf"
    assert model_of("owner/name") == "owner/name"
    assert need_pack("llava-1.5", None) == "llava-1.5"
    assert need_pack("builtin:organism", None) == "builtin:organism"
    assert need_pack("owner/name", "./pack") == "./pack"
    assert public_name("owner/name") is None
    assert public_name(str(tmp_path)) == tmp_path.name
    with pytest.raises(typer.BadParameter, match="steering vectors are needed"):
        need_pack("owner/name", None)
    with pytest.raises(ModelError, match=r"there is no folder '\./gone'"):
        model_of("./gone")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llava-1.5").mkdir()
    assert model_of("llava-1.5") == "llava-1.5", "a folder comes before an alias"
    with pytest.raises(typer.BadParameter):
        need_pack("llava-1.5", None)
