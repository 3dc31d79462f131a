"""The loopback Hub keeps the promises of the real one, as the real client sees them."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hub.process import Hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def add(hub: Hub, repo: str, files: dict[str, bytes], parent: str | None = None, **options: object) -> str:
    hub.api().create_repo(repo, exist_ok=True)
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    made = hub.api().create_commit(repo, operations=operations, commit_message="add", parent_commit=parent, **options)
    return str(made.oid)


def raw(hub: Hub, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=10)
    try:
        connection.request(method, path, headers={"Authorization": "Bearer hf_me", **headers})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_commit_is_whole_and_on_its_parent(hub: Hub) -> None:
    first = add(hub, "me/commits", {"a.txt": b"1", "folder/b.txt": b"2"})
    second = add(hub, "me/commits", {"a.txt": b"3"}, parent=first)
    with pytest.raises(HfHubHTTPError) as stale:
        add(hub, "me/commits", {"a.txt": b"4"}, parent=first)
    assert stale.value.response.status_code == 412
    assert [commit.commit_id for commit in hub.api().list_repo_commits("me/commits")][:2] == [second, first]
    assert {entry.rfilename for entry in hub.api().model_info("me/commits").siblings} > {"a.txt", "folder/b.txt"}
    hub.api().create_commit("me/commits", operations=[CommitOperationDelete("a.txt")], commit_message="drop")
    assert not hub.api().file_exists("me/commits", "a.txt")
    assert hub.api().file_exists("me/commits", "a.txt", revision=second)


def test_tags_branches_and_pull_requests(hub: Hub) -> None:
    first = add(hub, "me/refs", {"a.txt": b"1"})
    api = hub.api()
    api.create_tag("me/refs", tag="v1")
    with pytest.raises(HfHubHTTPError) as taken:
        api.create_tag("me/refs", tag="v1")
    assert taken.value.response.status_code == 409
    api.create_branch("me/refs", branch="next")
    add(hub, "me/refs", {"a.txt": b"2"}, revision="next")
    assert api.model_info("me/refs", revision="v1").sha == api.model_info("me/refs").sha == first
    proposed = hub.api("hf_other").create_commit(
        "me/refs", operations=[CommitOperationAdd("a.txt", b"3")], commit_message="better", create_pr=True
    )
    assert proposed.pr_num == 1
    assert api.model_info("me/refs").sha == first
    assert api.model_info("me/refs", revision="refs/pr/1").sha == proposed.oid
    with pytest.raises(RevisionNotFoundError):
        api.model_info("me/refs", revision="nowhere")


def test_who_may_see_and_change_what(hub: Hub) -> None:
    add(hub, "team/open", {"a.txt": b"1"})
    hub.api().create_repo("team/closed", private=True)
    for token in (False, "hf_other"):
        with pytest.raises(RepositoryNotFoundError):
            hub.api(token).model_info("team/closed")
        with pytest.raises(RepositoryNotFoundError):
            hub.api(token).model_info("team/none")
    assert hub.api("hf_other").model_info("team/open")
    assert [model.id for model in hub.api("hf_other").list_models(author="team")] == ["team/open"]
    for token, status in (("hf_other", 403), ("hf_reader", 403), ("hf_wrong", 401)):
        with pytest.raises(HfHubHTTPError) as refused:
            hub.api(token).create_tag("team/open", tag=f"t-{token.removeprefix('hf_')}")
        assert refused.value.response.status_code == status
    hub.settings("team/open", gated=True)
    with pytest.raises(GatedRepoError):
        hub.api("hf_other").hf_hub_download("team/open", "a.txt")


def test_a_card_is_checked_and_makes_the_tags(hub: Hub) -> None:
    card = (
        b"---\nlibrary_name: ras_ext\ntags: [ras]\nbase_model: a/b\nbase_model_relation: adapter\nlicense: mit\n---\n"
    )
    add(hub, "me/card", {"README.md": card})
    assert set(hub.api().model_info("me/card").tags) >= {"ras_ext", "ras", "base_model:a/b", "license:mit"}
    found = hub.api().list_models(filter=["ras_ext", "base_model:a/b"])
    assert [model.id for model in found] == ["me/card"]
    with pytest.raises(ValueError, match="Invalid metadata"):
        add(hub, "me/card", {"README.md": b"---\ntags: {a: 1}\n---\n"})
    with pytest.raises(ValueError, match="Invalid metadata"):
        add(hub, "me/card", {"README.md": b"---\nbase_model: ./folder\n---\n"})


def test_a_large_file_goes_beside_git_and_comes_back(hub: Hub, tmp_path: Path) -> None:
    data = bytes(range(256)) * 6000
    add(hub, "me/large", {"large.bin": data})
    entry = next(e for e in hub.api().model_info("me/large", files_metadata=True).siblings if e.lfs)
    assert (entry.lfs.sha256, entry.size) == (hashlib.sha256(data).hexdigest(), len(data))
    path = hub.api().hf_hub_download("me/large", "large.bin", cache_dir=tmp_path)
    assert Path(path).read_bytes() == data


def test_parts_of_a_file(hub: Hub) -> None:
    add(hub, "me/parts", {"a.txt": b"0123456789"})
    route = "/me/parts/resolve/main/a.txt"
    assert raw(hub, route, Range="bytes=4-")[::2] == (206, b"456789")
    assert raw(hub, route, Range="bytes=2-3")[::2] == (206, b"23")
    assert raw(hub, route, Range="bytes=10-")[0] == 416
    status, headers, body = raw(hub, route, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    assert len(headers["X-Repo-Commit"]) == 40


def test_faults_strike_as_often_as_told(hub: Hub) -> None:
    add(hub, "me/faults", {"a.txt": b"0123456789"})
    route = "/me/faults/resolve/main/a.txt"
    hub.fault(route, status=429, headers={"Retry-After": "7"}, skip=1)
    assert [raw(hub, route)[0] for _ in range(3)] == [200, 429, 200]
    hub.fault(route, cut_after=4)
    with pytest.raises(http.client.IncompleteRead) as cut:
        raw(hub, route)
    assert cut.value.partial == b"0123"
    hub.fault(route, drop=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        raw(hub, route)
    hub.fault(route, wrong_bytes=True)
    assert raw(hub, route)[2] == b"1123456789"
    hub.fault(route, slow=100)
    assert raw(hub, route)[2] == b"0123456789"
    hub.fault(route, times=100, status=500)
    hub.heal()
    assert raw(hub, route)[0] == 200


def test_a_power_cut_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with Hub(tmp_path) as hub:
        made = add(hub, "me/kept", {"a.txt": b"1"})
        hub.kill()
        hub.start()
        assert hub.api().model_info("me/kept").sha == made
