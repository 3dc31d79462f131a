"""Several processes at once, and processes killed at any moment: always the old pack or the new one, no commit lost.

The same for the Hub and for a registry in a folder; kills are SIGKILL, at times spread over a whole call.
"""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub.client import Client
from hub.process import Hub

from ras_ext.registry import read_pack

KILLS = 50
NUMBERS = itertools.count()


@pytest.fixture(params=["hub", "folder"])
def client(request: pytest.FixtureRequest, client_of: Callable[..., Client], tmp_path: Path) -> Client:
    """The same commands against the Hub, and against a registry in a folder."""
    return client_of() if request.param == "hub" else client_of(RAS_EXT_REGISTRY=str(tmp_path / "shared"))


@pytest.fixture
def place() -> str:
    """A name that nothing is published under."""
    return f"team/races-{next(NUMBERS)}"


@pytest.fixture
def versions(another_pack: Callable[..., Path]) -> Callable[[int], Path]:
    """The n-th of many packs, each with another digest."""
    return lambda n: another_pack(round(0.001 * (n + 1), 3))


def duration(client: Client, *call: object, **options: object) -> float:
    began = time.monotonic()
    assert "error" not in client(*call, **options)
    return time.monotonic() - began


class Killer:
    """Kills calls at moments spread over the time that one takes; counts those that were still at work."""

    def __init__(self, client: Client, whole: float) -> None:
        self._client, self._whole = client, whole
        self._moments = random.Random(0)
        self.struck = 0

    def rounds(self) -> Iterator[int]:
        """0, 1, 2, … until fifty have been killed at work."""
        for n in range(5 * KILLS):
            if self.struck == KILLS:
                return
            yield n
        pytest.fail(f"only {self.struck} of {5 * KILLS} calls were still at work when they were killed")

    def strike(self, *call: object, **options: object) -> None:
        pid = self._client.start(*call, **options)
        time.sleep(self._whole * self._moments.random())
        self._client.kill(pid)
        if "killed" in self._client.result(pid):
            self.struck += 1
        else:  # it was quicker than thought
            self._whole *= 0.9


def test_two_that_pull_at_once(client: Client, place: str, versions: Callable[[int], Path], tmp_path: Path) -> None:
    pushed = client("push", versions(0), place)
    cache = str(tmp_path / "cache")
    for _ in range(5):
        shutil.rmtree(cache, ignore_errors=True)
        started = [client.start("pull", place, tmp_path / "mine", cache_dir=cache) for _ in range(4)]
        assert {client.result(pid).get("digest") for pid in started} == {pushed["digest"]}
        assert read_pack(tmp_path / "mine").digest == pushed["digest"]
        assert not list(tmp_path.rglob("*.staged*"))


def test_two_that_push_at_once(client: Client, place: str, versions: Callable[[int], Path]) -> None:
    """Both are in the history, each with a version of its own, and the last word is one of them, whole."""
    for round_ in range(5):
        packs = [versions(10 * round_ + n) for n in range(3)]
        started = [client.start("push", pack, place) for pack in packs]
        pushed = [client.result(pid) for pid in started]
        assert all("error" not in result for result in pushed), pushed
        assert len({result["tag"] for result in pushed}) == 3
        history = client("history", place)["result"]
        assert {result["revision"] for result in pushed} <= {entry["revision"] for entry in history}
        assert client("pull", place)["digest"] == read_pack_of(pushed, history)
    tags = sorted(int(tag[1:]) for entry in history for tag in entry["tags"])
    assert tags == list(range(1, 16))


def read_pack_of(pushed: list[dict], history: list[dict]) -> str:
    """The digest of the push whose commit is the newest."""
    newest = history[0]["revision"]
    return next(str(result["digest"]) for result in pushed if result["revision"] == newest)


def test_two_that_push_the_same_pack_make_one_version(
    client: Client, place: str, versions: Callable[[int], Path]
) -> None:
    started = [client.start("push", versions(0), place) for _ in range(4)]
    pushed = [client.result(pid) for pid in started]
    assert {result.get("tag") for result in pushed} == {"v1"}, pushed
    assert len({result["revision"] for result in pushed}) == 1


def test_a_pull_that_is_killed_leaves_the_old_pack_or_the_new(
    client: Client, place: str, versions: Callable[[int], Path], tmp_path: Path
) -> None:
    first = client("push", versions(0), place)
    before = tmp_path / "before"
    client("pull", place, before / "mine", cache_dir=str(before / "cache"))
    second = client("push", versions(1), place)
    shutil.copytree(before, tmp_path / "trial", symlinks=True)
    whole = duration(client, "pull", place, tmp_path / "trial/mine", cache_dir=str(tmp_path / "trial/cache"))
    either = {first["digest"], second["digest"]}
    seen: list[str] = []
    killer = Killer(client, whole)
    for n in killer.rounds():
        machine = tmp_path / f"machine-{n}"
        shutil.copytree(before, machine, symlinks=True)
        cache = str(machine / "cache")
        killer.strike("pull", place, machine / "mine", cache_dir=cache)
        seen.append(read_pack(machine / "mine").digest)
        kept = client("open", place, cache_dir=cache, local_files_only=True)
        assert kept.get("digest") in either, kept
        if n % 5 == 0:
            assert client("pull", place, machine / "mine", cache_dir=cache)["digest"] == second["digest"]
        shutil.rmtree(machine)
    assert set(seen) <= either


def test_a_push_that_is_killed_leaves_the_old_pack_or_the_new(
    client: Client, place: str, versions: Callable[[int], Path], tmp_path: Path
) -> None:
    whole = duration(client, "push", versions(0), place)
    whole = duration(client, "push", versions(1), place)
    head = read_pack(versions(1)).digest
    known: set[str] = set()
    killer = Killer(client, whole)
    for n in killer.rounds():
        pack = versions(n + 2)
        new = read_pack(pack).digest
        killer.strike("push", pack, place)
        # Somebody who has nothing yet sees a whole pack.
        found = client("open", place, cache_dir=str(tmp_path / f"reader-{n}"))
        assert found.get("digest") in (head, new), found
        history = {entry["revision"] for entry in client("history", place)["result"]}
        assert known <= history
        # Pushing again finishes what was begun, and does not do it twice.
        again = client("push", pack, place)
        assert "error" not in again, again
        assert again["tag"] == f"v{n + 3}"
        known, head = {entry["revision"] for entry in client("history", place)["result"]}, new
        shutil.rmtree(pack)
        shutil.rmtree(tmp_path / f"reader-{n}")
    assert len(known) in (n + 3, n + 4)  # the Hub has a first commit of its own


def test_a_hub_that_loses_power_during_a_push_has_a_whole_pack_afterwards(
    hub: Hub, client_of: Callable[..., Client], versions: Callable[[int], Path], tmp_path: Path
) -> None:
    client = client_of()
    client("push", versions(0), "team/power")
    whole = duration(client, "push", versions(1), "team/power")
    head = read_pack(versions(1)).digest
    for n in range(8):
        pack = versions(n + 2)
        pid = client.start("push", pack, "team/power")
        time.sleep(whole * (n + 0.5) / 8)
        hub.kill()
        hub.start()
        client.result(pid)
        found = client("open", "team/power", cache_dir=str(tmp_path / f"reader-{n}"))
        assert found.get("digest") in (head, read_pack(pack).digest), found
        again = client("push", pack, "team/power")
        assert again.get("tag") == f"v{n + 3}", again
        head = again["digest"]
