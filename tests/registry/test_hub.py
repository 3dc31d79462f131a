"""Packs on the Hub with the real client, in processes of their own, against a Hub on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hub.client import Client
from hub.process import Hub

NOWHERE = "http://127.0.0.1:9"


def upload(hub: Hub, repo: str, folder: Path, **changed: bytes) -> str:
    """Puts a folder on the Hub without asking the registry, as anybody may."""
    from huggingface_hub import CommitOperationAdd

    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files.update({name.replace("__", "."): data for name, data in changed.items()})
    hub.api().create_repo(repo, exist_ok=True)
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    return str(hub.api().create_commit(repo, operations=operations, commit_message="by hand").oid)


def test_a_pushed_pack_is_listed_pulled_and_loaded_with_the_same_digest(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path, tmp_path: Path
) -> None:
    pushed = client("push", pack_folder, "team/tiny-ras")
    assert (pushed["tag"], pushed["created"], pushed["unchanged"]) == ("v1", True, False)
    assert set(pushed["files"]) == {"README.md", "evidence/rows.jsonl", "ras_config.json", "ras_vectors.safetensors"}
    assert hub.api().model_info("team/tiny-ras", revision="v1").sha == pushed["revision"]

    elsewhere = client_of(RAS_EXT_HOME=str(tmp_path / "elsewhere"), HF_HOME=str(tmp_path / "other-cache"))
    assert [entry["name"] for entry in elsewhere("search", "tiny")["result"]] == ["team/tiny-ras"]
    pulled = elsewhere("pull", "team/tiny-ras", tmp_path / "mine")
    assert (pulled["digest"], pulled["revision"]) == (pushed["digest"], pushed["revision"])
    assert (tmp_path / "mine/ras_config.json").read_bytes() == (pack_folder / "ras_config.json").read_bytes()
    opened = elsewhere("open", "team/tiny-ras@v1")
    assert (opened["digest"], opened["files"]) == (pushed["digest"], ["README.md", "evidence/rows.jsonl"])
    assert "team/tiny-ras" in {entry["name"] for entry in elsewhere("list")["result"]}
    assert any("is not signed" in line for line in opened["said"])


def test_what_was_fetched_once_asks_nobody_again(hub: Hub, client: Client, pack_folder: Path) -> None:
    commit = upload(hub, "team/once", pack_folder)
    first = client("open", "team/once")
    hub.forget()
    for name in ("team/once", f"team/once@{commit}"):
        assert client("open", name)["digest"] == first["digest"]
    assert hub.log() == []
    # A commit that the Hub's client holds already, whoever fetched it, needs no network either.
    other = upload(hub, "team/once", pack_folder, model__bin=b"not asked for")
    client("snapshot", "team/once", revision=other)
    hub.forget()
    assert client("open", f"team/once@{other}")["revision"] == other
    assert hub.log() == []


def test_a_name_means_the_same_bytes_until_it_is_pulled_anew(
    hub: Hub, client: Client, pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    upload(hub, "team/moving", pack_folder)
    old = client("open", "team/moving")
    new = another_pack(0.5)
    upload(hub, "team/moving", new)
    assert client("open", "team/moving")["digest"] == old["digest"]
    pulled = client("pull", "team/moving")
    assert pulled["digest"] != old["digest"]
    assert client("open", "team/moving")["digest"] == pulled["digest"]
    assert client("open", f"team/moving@{old['revision']}")["digest"] == old["digest"]
    assert client("open", "team/moving", refresh=True)["digest"] == pulled["digest"]


def test_only_files_of_the_pack_are_fetched(hub: Hub, client: Client, pack_folder: Path) -> None:
    upload(hub, "team/mixed", pack_folder, model__bin=b"\x80" * 1000, setup__py=b"raise SystemExit")
    hub.forget()
    found = client("open", "team/mixed")
    assert {path.name for path in Path(found["path"]).iterdir()} == {
        "README.md", "evidence", "ras_config.json", "ras_vectors.safetensors",
    }  # fmt: skip
    assert not any("model.bin" in entry["path"] or "setup.py" in entry["path"] for entry in hub.log())


def test_an_alias_leads_to_its_repository_in_the_namespace_set(
    hub: Hub, client_of: Callable[..., Client], another_pack: Callable[..., Path]
) -> None:
    fitting = another_pack(0.2, id="llava-hf/llava-1.5-7b-hf")
    upload(hub, "team/llava-1.5-7b-hf-ras", fitting)
    ours = client_of(RAS_EXT_NAMESPACE="team")
    assert ours("open", "llava-1.5")["source"] == "team/llava-1.5-7b-hf-ras"
    # The name promises a model: a pack of another one under it is not loaded.
    upload(hub, "ras-ext/llava-1.5-13b-hf-ras", fitting)
    strange = client_of()("open", "llava-1.5-13b")
    assert strange["error"] == "PackMismatchError"
    assert "stands for vectors of llava-hf/llava-1.5-13b-hf" in strange["message"]


def test_a_name_that_is_not_published_says_how_to_make_and_publish_it(hub: Hub, client: Client) -> None:
    found = client("open", "qwen2.5-vl")
    assert found["error"] == "PackNotFoundError"
    assert "ras-ext calibrate Qwen/Qwen2.5-VL-7B-Instruct --out DIR --push-to ras-ext/" in found["message"]
    hub.api().create_repo("team/a-model")
    assert "is no pack: it holds no ras_config.json" in client("open", "team/a-model")["message"]
    assert "has no such revision" in client("open", "team/a-model@v7")["message"]


def test_without_a_network_what_is_here_serves_and_the_rest_is_a_sentence(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path
) -> None:
    commit = upload(hub, "team/off", pack_folder)
    first = client("open", "team/off")
    for alone in (client_of(HF_HUB_OFFLINE="1"), client_of(HF_ENDPOINT=NOWHERE)):
        assert alone("open", "team/off")["digest"] == first["digest"]
        assert alone("open", f"team/off@{commit}")["digest"] == first["digest"]
    offline = client_of(HF_HUB_OFFLINE="1")("open", "team/absent")
    assert (offline["error"], "was not asked (offline)" in offline["message"]) == ("PackNotFoundError", True)
    nowhere = client_of(HF_ENDPOINT=NOWHERE)("open", "team/absent")
    assert (nowhere["error"], "could not be reached" in nowhere["message"]) == ("RegistryError", True)
    assert client("open", "team/absent", local_files_only=True)["error"] == "PackNotFoundError"
    assert client_of(HF_HUB_OFFLINE="1")("push", pack_folder, "team/absent")["error"] == "RegistryError"


def test_a_copy_that_was_damaged_is_fetched_anew_or_refused(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path
) -> None:
    upload(hub, "team/damaged", pack_folder)
    kept = client("open", "team/damaged")
    tensors = Path(kept["path"], "ras_vectors.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    alone = client_of(HF_HUB_OFFLINE="1")("open", "team/damaged")
    assert (alone["error"], "was changed or cut short" in alone["message"]) == ("PackError", True)
    healed = client("open", "team/damaged")
    assert healed["digest"] == kept["digest"]
    assert any("is damaged and is fetched anew" in line for line in healed["said"])


@pytest.mark.parametrize("how", ["one bit", "cut short", "another file's", "config only"])
def test_a_tampered_pack_on_the_hub_is_refused_and_nothing_of_it_kept(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path, tmp_path: Path, how: str
) -> None:
    tensors = (pack_folder / "ras_vectors.safetensors").read_bytes()
    wrong = {
        "one bit": {"ras_vectors__safetensors": tensors[:-1] + bytes([tensors[-1] ^ 1])},
        "cut short": {"ras_vectors__safetensors": tensors[:-9]},
        "another file's": {"README__md": b"---\nlibrary_name: ras_ext\n---\nNot the card of this pack.\n"},
        "config only": {"ras_config__json": (pack_folder / "ras_config.json").read_bytes().replace(b"0.3", b"0.0")},
    }[how]
    repo = f"team/tampered-{how.replace(' ', '-').replace(chr(39), '')}"
    home = tmp_path / "its-home"
    guarded = client_of(RAS_EXT_HOME=str(home))
    upload(hub, repo, pack_folder, **wrong)
    found = guarded("open", repo)
    if how == "config only":  # a valid pack of its own: only its digest tells
        digest = hashlib.sha256((pack_folder / "ras_config.json").read_bytes()).hexdigest()
        (home / "aliases.json").write_text(json.dumps({"pinned": {"repo": repo, "digest": digest}}))
        found = guarded("open", "pinned")
        assert "pinned to the pack with digest" in found["message"]
    else:
        assert "was changed or cut short" in found["message"]
        assert not list((home / "packs").rglob("ras_vectors.safetensors"))
    assert found["error"] == "PackError"


def test_a_file_that_is_too_large_is_not_even_asked_for(hub: Hub, client: Client, pack_folder: Path) -> None:
    upload(hub, "team/large", pack_folder, README__md=b"x" * (9 * 2**20))
    hub.forget()
    found = client("open", "team/large")
    assert found["error"] == "PackError"
    assert "README.md" in found["message"]
    assert not any("/resolve/" in entry["path"] for entry in hub.log())


def test_large_tensors_go_beside_git_and_come_back(
    hub: Hub, client: Client, client_of: Callable[..., Client], large_pack: Callable[[int], Path], tmp_path: Path
) -> None:
    """More than a megabyte: the client uploads by LFS and downloads from the address it is sent to."""
    folder = large_pack(300_000)
    pushed = client("push", folder, "team/lfs")
    assert any(e.lfs for e in hub.api().model_info("team/lfs", files_metadata=True).siblings)
    fresh = client_of(HF_HOME=str(tmp_path / "fresh"))
    assert fresh("open", "team/lfs")["digest"] == pushed["digest"]
    again = client("push", folder, "team/lfs")
    assert (again["unchanged"], again["revision"]) == (True, pushed["revision"])


def test_pushing_again_adds_versions_and_removes_what_the_new_pack_lacks(
    hub: Hub, client: Client, pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    first = client("push", pack_folder, "me/versions")
    same = client("push", pack_folder, "me/versions")
    assert (same["tag"], same["unchanged"], same["revision"]) == ("v1", True, first["revision"])
    new = another_pack(0.4)
    upload(hub, "me/versions", pack_folder, notes__md=b"kept: it is no part of a pack")
    second = client("push", new, "me/versions", message="Quieter")
    assert (second["tag"], second["removed"]) == ("v2", ["evidence/rows.jsonl"])
    names = {entry.rfilename for entry in hub.api().model_info("me/versions").siblings}
    assert "notes.md" in names
    assert "evidence/rows.jsonl" not in names
    history = client("history", "me/versions")["result"]
    assert (history[0]["title"], history[0]["tags"]) == ("Quieter", ["v2"])
    assert [entry["tags"] for entry in history if entry["revision"] == first["revision"]] == [["v1"]]


def test_a_dry_run_says_what_would_go_and_changes_nothing(
    hub: Hub, client: Client, pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    absent = client("push", pack_folder, "me/dry", dry_run=True)
    assert (absent["created"], absent["tag"], absent["dry_run"]) == (True, "v1", True)
    client("push", pack_folder, "me/dry")
    hub.forget()
    planned = client("push", another_pack(0.4), "me/dry", dry_run=True)
    assert (planned["tag"], planned["removed"], planned["revision"]) == ("v2", ["evidence/rows.jsonl"], None)
    assert client("push", pack_folder, "me/dry", dry_run=True)["unchanged"] is True
    assert {entry["method"] for entry in hub.log()} == {"GET"}


def test_a_pull_request_leaves_the_branch_as_it_was(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    first = client("push", pack_folder, "me/proposal")
    other = client_of(HF_TOKEN="hf_other")
    proposed = other("push", another_pack(0.6), "me/proposal", create_pr=True)
    assert proposed["pull_request"].endswith("/me/proposal/discussions/1")
    assert (proposed["tag"], hub.api().model_info("me/proposal").sha) == (None, first["revision"])
    assert client("open", "me/proposal@refs/pr/1")["digest"] == proposed["digest"]
    assert client("pull", "me/proposal")["digest"] == first["digest"]


def test_private_packs_branches_and_parents(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path, another_pack: Callable[..., Path]
) -> None:
    first = client("push", pack_folder, "me/hidden", private=True)
    assert hub.api().model_info("me/hidden").private is True
    assert client_of(HF_TOKEN=None, RAS_EXT_HOME="nobody")("open", "me/hidden")["error"] == "PackNotFoundError"
    side = client("push", another_pack(0.7), "me/hidden", branch="trial", tag=False)
    assert hub.api().model_info("me/hidden").sha == first["revision"]
    assert client("open", "me/hidden@trial")["digest"] == side["digest"]
    stale = client("push", another_pack(0.8), "me/hidden", parent_commit="0" * 40)
    assert (stale["error"], "has moved on" in stale["message"]) == ("RegistryError", True)
    assert client("push", another_pack(0.9), "me/hidden", parent_commit=first["revision"])["tag"] == "v2"


def test_a_token_that_may_not_is_told_so(
    hub: Hub, client: Client, client_of: Callable[..., Client], pack_folder: Path
) -> None:
    client("push", pack_folder, "team/guarded")
    for token, what in (("hf_other", "the token may not do that"), ("hf_wrong", "not valid"), (None, "")):
        refused = client_of(HF_TOKEN=token)("push", pack_folder, "team/guarded-more")
        assert refused["error"] == "RegistryError", refused
        assert what in refused["message"]
    hub.settings("team/guarded", gated=True)
    gated = client_of(HF_TOKEN="hf_other", RAS_EXT_HOME="stranger", HF_HOME="strange-cache")("open", "team/guarded")
    assert (gated["error"], "gated" in gated["message"]) == ("RegistryError", True)


def test_a_damaged_pack_is_not_published(hub: Hub, client: Client, pack_folder: Path) -> None:
    (pack_folder / "README.md").write_text("edited by hand")
    assert client("push", pack_folder, "team/never")["error"] == "PackError"
    assert not hub.api().repo_exists("team/never")
    shutil.rmtree(pack_folder)
    assert client("push", pack_folder, "team/never")["error"] == "PackNotFoundError"
    for wrong in ("never", "team/never@v2", "a/b/c"):
        assert client("push", pack_folder, wrong)["error"] in ("RegistryError", "PackNotFoundError")


def test_a_repository_of_something_else_is_left_alone(hub: Hub, client: Client, pack_folder: Path) -> None:
    weights = hub.folder.parent / "weights"
    weights.mkdir()
    (weights / "README.md").write_text("# A model\n")
    (weights / "model.safetensors").write_bytes(b"w" * 100)
    before = upload(hub, "me/weights", weights)
    for dry_run in (True, False):
        refused = client("push", pack_folder, "me/weights", dry_run=dry_run)
        assert (refused["error"], "model.safetensors" in refused["message"]) == ("RegistryError", True)
    assert hub.api().model_info("me/weights").sha == before
    # What the Hub's page puts into a new repository is in nobody's way.
    (weights / "model.safetensors").unlink()
    upload(hub, "me/new", weights)
    assert client("push", pack_folder, "me/new")["tag"] == "v1"


def test_search_by_words_base_model_and_owner(hub: Hub, client: Client, another_pack: Callable[..., Path]) -> None:
    client("push", another_pack(0.11, id="org/alpha"), "me/search-alpha")
    client("push", another_pack(0.12, id="org/beta"), "team/search-beta")
    hub.api().create_repo("me/search-no-pack")

    def names(*query: str, **options: object) -> set[str]:
        return {entry["name"] for entry in client("search", *query, **options)["result"]}

    assert names("search") == {"me/search-alpha", "team/search-beta"}
    assert names("search", owner="me") == {"me/search-alpha"}
    assert names(base_model="org/beta") == {"team/search-beta"}
    assert names(tags=["base_model:org/alpha"]) == {"me/search-alpha"}
    assert names("search", tags=["multimodal"]) == names("search")
    assert names("search", tags=["no-such-tag"]) == set()
    assert names("search", limit=1) < names("search")
    assert {entry["base_model"] for entry in client("search", "alpha")["result"]} == {"org/alpha"}
