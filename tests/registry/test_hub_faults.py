"""The Hub stumbles, the network breaks, the disk fills up: the old pack or the new one, never a part of either."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub.client import Client
from hub.process import Hub

from ras_ext.registry import RawTensor, read_pack, write_pack

NUMBERS = itertools.count()
TENSORS = "/resolve/[0-9a-f]{40}/ras_vectors.safetensors"


@pytest.fixture
def published(hub: Hub, client: Client, pack_folder: Path) -> dict[str, str]:
    """A pack on the Hub, under a name of its own, that ``fresh`` has not fetched."""
    name = f"team/pack-{next(NUMBERS)}"
    pushed = client("push", pack_folder, name)
    hub.forget()
    return {"name": name, "digest": pushed["digest"], "revision": pushed["revision"]}


@pytest.fixture
def fresh(client_of: Callable[..., Client], tmp_path: Path) -> Client:
    """A client that has nothing yet."""
    return client_of(RAS_EXT_HOME=str(tmp_path / "fresh"), HF_HOME=str(tmp_path / "fresh-cache"))


def strange_files(home: Path) -> list[str]:
    """What a failed pull left in the store besides nothing."""
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and path.name != "source.json"]


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
@pytest.mark.parametrize("file", ["ras_vectors.safetensors", "ras_config.json", "README.md"])
def test_a_connection_cut_at_every_quarter_is_taken_up_again(
    hub: Hub, fresh: Client, published: dict[str, str], pack_folder: Path, file: str, quarter: int
) -> None:
    size = (pack_folder / file).stat().st_size
    hub.fault(f"GET .*/{file}$", cut_after=size * quarter // 4)
    assert fresh("open", published["name"])["digest"] == published["digest"]
    asked = [entry for entry in hub.log() if entry["path"].endswith(file) and entry["method"] == "GET"]
    assert len(asked) == 2


def test_a_large_file_goes_on_where_it_stopped(
    hub: Hub, client: Client, fresh: Client, large_pack: Callable[[int], Path]
) -> None:
    """The client keeps what has come in pieces of ten megabytes."""
    pushed = client("push", large_pack(3_000_000), "team/resumed")
    hub.forget()
    hub.fault("GET /_lfs/", cut_after=11_000_000)
    assert fresh("open", "team/resumed")["digest"] == pushed["digest"]
    asked = [entry for entry in hub.log() if entry["path"].startswith("/_lfs/") and entry["method"] == "GET"]
    assert [(entry["status"], entry["range"]) for entry in asked] == [(200, None), (206, f"bytes={10 * 2**20}-")]


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_a_connection_that_is_always_cut_leaves_the_old_pack(
    hub: Hub,
    client: Client,
    fresh: Client,
    published: dict[str, str],
    pack_folder: Path,
    another_pack: Callable[..., Path],
    tmp_path: Path,
    quarter: int,
) -> None:
    size = (pack_folder / "ras_vectors.safetensors").stat().st_size
    mine = tmp_path / "mine"
    fresh("pull", published["name"], mine)
    # The next pack differs in its tensors too, so that there is something to fetch.
    client("push", _other_tensors(another_pack(0.55)), published["name"])
    hub.fault(f"GET .*{TENSORS}$", cut_after=size * quarter // 4, times=1000)
    hub.fault("GET /_lfs/", cut_after=size * quarter // 4, times=1000)
    failed = fresh("pull", published["name"], mine)
    assert failed["error"] == "RegistryError", failed
    assert "run this again" in failed["message"] or "try again" in failed["message"]
    assert fresh("open", published["name"])["digest"] == published["digest"]
    assert fresh("open", str(mine))["digest"] == published["digest"]
    hub.heal()
    healed = fresh("pull", published["name"], mine)
    assert healed["digest"] != published["digest"]


def _other_tensors(folder: Path) -> Path:
    """The pack in ``folder`` with other numbers in its tensors, sound again."""
    pack = read_pack(folder)
    rows = pack.tensors["prototypes"]
    turned = RawTensor(rows.dtype, rows.shape, rows.data[24:] + rows.data[:24])
    config = {key: value for key, value in pack.config.items() if key != "files"}
    return write_pack(folder, config, {**pack.tensors, "prototypes": turned}).path


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("where", ["/api/models/", "HEAD .*/resolve/", "GET .*/resolve/"])
def test_a_hub_that_stumbles_is_asked_again(
    hub: Hub, fresh: Client, published: dict[str, str], status: int, where: str
) -> None:
    hub.fault(where, status=status, headers={"Retry-After": "0"}, times=2)
    assert fresh("open", published["name"])["digest"] == published["digest"]


@pytest.mark.parametrize(("status", "says"), [(429, "fewer requests"), (503, "answered 503")])
def test_a_hub_that_stays_down_is_named(
    hub: Hub, fresh: Client, published: dict[str, str], tmp_path: Path, status: int, says: str
) -> None:
    hub.fault("", status=status, times=10_000, headers={"Retry-After": "0"} if status == 429 else {})
    failed = fresh("open", published["name"])
    assert (failed["error"], says in failed["message"]) == ("RegistryError", True), failed
    hub.heal()
    hub.fault("resolve", status=status, times=10_000, headers={"Retry-After": "0"} if status == 429 else {})
    failed = fresh("open", published["name"])
    assert failed["error"] == "RegistryError", failed
    assert strange_files(tmp_path / "fresh") == []


def test_a_hub_that_asks_for_long_patience_is_not_waited_for(
    hub: Hub, fresh: Client, published: dict[str, str]
) -> None:
    hub.fault("/api/models/", status=429, times=10_000, headers={"Retry-After": "3600"})
    began = time.monotonic()
    assert fresh("open", published["name"])["error"] == "RegistryError"
    assert time.monotonic() - began < 20


def test_a_slow_hub_is_waited_for(hub: Hub, fresh: Client, published: dict[str, str]) -> None:
    hub.fault("GET .*/resolve/", slow=2000)
    hub.fault("/api/models/", delay=1.0)
    assert fresh("open", published["name"])["digest"] == published["digest"]


def test_wrong_bytes_from_the_network_are_fetched_once_more(
    hub: Hub, fresh: Client, published: dict[str, str], tmp_path: Path
) -> None:
    hub.fault(f"GET .*{TENSORS}$", wrong_bytes=True)
    assert fresh("open", published["name"])["digest"] == published["digest"]


def test_bytes_that_stay_wrong_are_refused(hub: Hub, fresh: Client, published: dict[str, str], tmp_path: Path) -> None:
    hub.fault(f"GET .*{TENSORS}$", wrong_bytes=True, times=1000)
    failed = fresh("open", published["name"])
    assert (failed["error"], "was changed or cut short" in failed["message"]) == ("PackError", True)
    assert strange_files(tmp_path / "fresh") == []


@pytest.mark.skipif(os.name != "posix", reason="limits are set as POSIX sets them")
@pytest.mark.parametrize("room", [0, 500, 1500])
def test_a_disk_that_is_full_is_named_and_leaves_nothing(
    hub: Hub, fresh: Client, published: dict[str, str], tmp_path: Path, room: int
) -> None:
    """The process may write files of ``room`` bytes only, as on a disk without more."""
    failed = fresh("in_little_room", room, "open", published["name"])
    assert failed["error"] in ("RegistryError", "PackError"), failed
    assert strange_files(tmp_path / "fresh") == []
    assert fresh("open", published["name"])["digest"] == published["digest"]


@pytest.mark.parametrize("lost", ["create", "commit/", "tag/", "preupload", "validate-yaml", "refs"])
def test_an_answer_lost_during_a_push_is_no_lost_push(hub: Hub, client: Client, pack_folder: Path, lost: str) -> None:
    name = f"team/lost-{lost.strip('/').split('-')[0]}"
    hub.fault(f"{lost}", lost=True)
    pushed = client("push", pack_folder, name)
    assert (pushed.get("tag"), hub.api().model_info(name).sha) == ("v1", pushed.get("revision")), pushed
    titles = [commit.title for commit in hub.api().list_repo_commits(name)]
    assert len(titles) == 2  # the Hub's own first one, and this: not twice


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("where", ["preupload", "commit/", "tag/", "create"])
def test_a_hub_that_stumbles_during_a_push_is_asked_again(
    hub: Hub, client: Client, pack_folder: Path, where: str, status: int
) -> None:
    name = f"team/stumble-{where.strip('/')}-{status}"
    hub.fault(where, status=status)
    pushed = client("push", pack_folder, name)
    assert pushed.get("tag") == "v1", pushed
    assert len(hub.api().list_repo_commits(name)) == 2


def test_a_commit_of_somebody_else_in_between_stays_in_the_history(
    hub: Hub, client: Client, pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    client("push", pack_folder, "team/between")
    hub.fault("commit/main", status=412)
    second = client("push", another_pack(0.5), "team/between")
    assert second.get("tag") == "v2", second
    hub.fault("commit/main", status=412)
    stale = client("push", another_pack(0.6), "team/between", parent_commit=second["revision"])
    assert (stale["error"], "was changed by somebody else" in stale["message"]) == ("RegistryError", True)
