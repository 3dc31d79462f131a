"""The files of deploy/ and the options on docs/deploy.md: they parse, and name only options and paths there are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ras_ext.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
UNIT = DEPLOY / "ras-ext-serve.service"
OWN = {
    option
    for parameter in typer.main.get_command(app).commands["serve"].params  # type: ignore[attr-defined]
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--")
}


def deployment() -> dict[str, Any]:
    found = [one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()) if one["kind"] == "Deployment"]
    assert len(found) == 1
    return dict(found[0])


def container() -> dict[str, Any]:
    [found] = deployment()["spec"]["template"]["spec"]["containers"]
    return dict(found)


def command_of_the_unit() -> list[str]:
    text = UNIT.read_text().replace("\\\n", " ")
    [line] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.partition("=")[2])


def options(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def named() -> dict[str, set[str]]:
    """Options by the file that gives them to `ras-ext serve`."""
    found = {
        "kubernetes.yaml": options(container()["args"]),
        UNIT.name: options(command_of_the_unit()),
        "Dockerfile": {"--vectors", "--max-model-len"},
    }
    for script in SCRIPTS:
        words = " ".join(re.findall(r"^.*(?:ras-ext serve|each\+?=|own\+?=|^#.*serve).*$", script.read_text(), re.M))
        found[script.name] = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", words))
    return found


def test_our_own_options_all_stand_in_the_page_s_table() -> None:
    missing = [option for option in sorted(OWN - {"--help"}) if f"`{option}" not in PAGE]
    assert not missing


def test_files_name_only_options_that_ours_or_vllm_s_command_has() -> None:
    parser = pytest.importorskip("vllm.utils.argparse_utils").FlexibleArgumentParser()
    from vllm.entrypoints.launchers.cli_args import make_arg_parser

    known = OWN | set(make_arg_parser(parser)._option_string_actions)
    for name, found in {**named(), "deploy.md": page_options()}.items():
        assert found, name
        assert not found - known, name


def page_options() -> set[str]:
    """In code on the page, but for those of other programs."""
    lines = [line for line in PAGE.splitlines() if "docker" not in line and "ray start" not in line]
    return set(re.findall(r"`(--[a-z][a-z-]+)", "\n".join(lines))) | set(
        re.findall(r"(--[a-z][a-z-]+)", " ".join(line for line in lines if "ras-ext serve" in line))
    )


def test_probes_ask_a_path_of_the_server_and_the_port_that_is_open() -> None:
    admin = (ROOT / "ras_ext" / "serve" / "server" / "admin.py").read_text()
    one = container()
    [port] = [entry for entry in one["ports"] if entry["name"] == "http"]
    assert f"--port={port['containerPort']}" in one["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = one[probe]["httpGet"]
        assert f'@router.get("{asked["path"]}"' in admin
        assert asked["port"] == port["name"]


def test_the_service_finds_the_pods_and_every_mount_has_its_volume() -> None:
    found = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    pod = found["Deployment"]["spec"]["template"]
    assert found["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes


def test_the_unit_passes_systemd_s_own_check(tmp_path: Path) -> None:
    command = command_of_the_unit()
    assert command[:2] == ["/opt/ras-ext/bin/ras-ext", "serve"]
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace(command[0], "/bin/true"))
    done = subprocess.run([analyze, "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_say_how_they_are_used(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "usage" in done.stderr


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """Runs a script with a `ras-ext` and a `ray` that only say how they were called."""
    for name in ("ras-ext", "ray"):
        (tmp_path / name).write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
        (tmp_path / name).chmod(0o755)

    def run(script: str, *arguments: str, **environment: str) -> list[str]:
        path = f"{tmp_path}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", DEPLOY / script, *arguments],
            env={"PATH": path, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[1:]

    return run


def test_the_first_machine_serves_and_the_others_have_no_server(told: Any) -> None:
    where = {"HEAD": "10.0.0.1", "NODES": "2", "MODEL": "some/model", "VECTORS": "name"}
    first = told("several_nodes.sh", "0", "--max-model-len", "4096", **where)
    other = told("several_nodes.sh", "1", "--max-model-len", "4096", **where)
    assert "--headless" not in first
    assert other[:4] == ["serve", "some/model", "--headless", "--data-parallel-start-rank"]
    assert [word for word in other if word not in ("--headless", "--data-parallel-start-rank", "1")] == [
        word for word in first if word != "1"
    ]


def test_ray_is_told_to_hold_the_machines_together(told: Any) -> None:
    assert told("ray.sh", "node", HEAD="10.0.0.1") == ["start", "--address", "10.0.0.1:6379"]
    served = told("ray.sh", "serve", "--tensor-parallel-size", "4", MODEL="some/model", VECTORS="name")
    assert served[:4] == ["serve", "some/model", "--distributed-executor-backend", "ray"]
    assert served[-2:] == ["--tensor-parallel-size", "4"]


def test_the_image_keeps_the_vllm_that_is_supported() -> None:
    from ras_ext.serve.versions import check

    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    found = re.search(r"^FROM vllm/vllm-openai:v(\S+)$", text, re.M)
    assert found is not None
    check(found[1])
    assert 'ENTRYPOINT ["ras-ext", "serve"]' in text


def test_every_file_says_whether_it_was_run() -> None:
    for path in (*SCRIPTS, UNIT, DEPLOY / "kubernetes.yaml", DEPLOY / "docker" / "Dockerfile"):
        head = "\n".join(line for line in path.read_text().splitlines()[:14] if line.startswith("#"))
        assert re.search(r"not run|Was run|no machine was started|not applied", head), path.name
