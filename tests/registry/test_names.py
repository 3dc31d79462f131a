from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ras_ext
from ras_ext.registry import PackError, PackNotFoundError, aliases, locate, open_pack, read_pack
from ras_ext.registry.layout import CONFIG_FILE


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAS_EXT_NAMESPACE", "RAS_EXT_ALIASES"):
        monkeypatch.delenv(name, raising=False)


def test_a_folder_is_used_as_it_is(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = read_pack(pack_folder).digest
    assert open_pack(pack_folder).digest == digest
    assert open_pack(str(pack_folder)).digest == digest
    monkeypatch.chdir(pack_folder.parent)
    assert open_pack("pack").digest == digest
    assert open_pack("./pack").digest == digest
    assert locate("pack").source == "pack"


@pytest.mark.parametrize("name", ["./absent", "/absent/pack", "~/absent-pack", "a/b/c"])
def test_a_path_that_leads_nowhere_is_not_looked_for_elsewhere(name: str) -> None:
    with pytest.raises(PackNotFoundError, match="no such folder"):
        open_pack(name)


def test_built_in_packs_are_found_in_the_installed_package() -> None:
    with pytest.raises(PackNotFoundError, match="no built-in pack 'builtin:absent'; the built-in packs are:"):
        open_pack("builtin:absent")
    with pytest.raises(PackNotFoundError, match="no built-in pack"):
        open_pack("builtin:../organism")
    root = Path(ras_ext.__file__).parent / "organism" / "pack"
    if (root / CONFIG_FILE).exists():
        assert open_pack("builtin:organism").path == root
        with pytest.raises(PackNotFoundError, match="has no revisions"):
            open_pack("builtin:organism", revision="v1")


def test_any_package_folder_that_holds_a_pack_is_a_built_in_one(
    pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ras_ext.registry import names

    root = pack_folder.parent / "installed"
    (root / "tiny").mkdir(parents=True)
    shutil.copytree(pack_folder, root / "tiny" / "pack")
    monkeypatch.setattr(names.resources, "files", lambda package: root)
    assert open_pack("builtin:tiny").config["name"] == "tiny"
    with pytest.raises(PackNotFoundError, match="are: builtin:tiny"):
        open_pack("builtin:other")


def test_shipped_aliases_stand_in_the_namespace_that_is_set() -> None:
    shipped = aliases({})
    assert shipped["llava-1.5"].repo == "ras-ext/llava-1.5-7b-hf-ras"
    assert shipped["llava-1.5"].base_model == "llava-hf/llava-1.5-7b-hf"
    assert {"llava-1.5-7b", "llava-1.5-13b", "qwen-vl-chat", "internlm-xcomposer-2.5"} <= set(shipped)
    assert aliases({"RAS_EXT_NAMESPACE": "our-team"})["llava-1.5"].repo == "our-team/llava-1.5-7b-hf-ras"


def test_a_users_alias_file_adds_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    path.write_text(json.dumps({"ours": {"repo": "{namespace}/ours", "revision": "v2"}, "llava-1.5": {"repo": "a/b"}}))
    table = aliases({"RAS_EXT_ALIASES": str(path), "RAS_EXT_NAMESPACE": "team"})
    assert (table["ours"].repo, table["ours"].revision) == ("team/ours", "v2")
    assert table["llava-1.5"].repo == "a/b"
    assert table["llava-1.5-13b"].repo == "team/llava-1.5-13b-hf-ras"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        "{",
        '{"a": {}}',
        '{"a": {"repo": "../x"}}',
        '{"a": {"repo": "a/b@c"}}',
        '{"a": {"repo": "a/b", "x": 1}}',
    ],
)
def test_an_alias_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aliases.json"
    path.write_text(text)
    with pytest.raises(PackError) as caught:
        aliases({"RAS_EXT_ALIASES": str(path)})
    assert "\n" not in str(caught.value)
    with pytest.raises(PackError, match="cannot be read"):
        aliases({"RAS_EXT_ALIASES": str(tmp_path / "absent.json")})


def test_an_unknown_name_gets_the_three_nearest_and_the_way_to_ones_own() -> None:
    with pytest.raises(PackNotFoundError) as caught:
        open_pack("lava-1.5")
    message = str(caught.value)
    assert "llava-1.5, llava-1.5-7b, llava-1.5-13b" in message
    assert "ras-ext calibrate MODEL --out DIR" in message


@pytest.fixture
def fetched(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The seam to the Hub, answering with a pack on disk; what it was asked is kept."""
    from ras_ext.registry import names

    calls: list[tuple[Any, ...]] = []

    def fetch(repo: str, revision: str | None, **options: Any) -> Path:
        calls.append((repo, revision, options))
        return pack_folder

    monkeypatch.setattr(names, "fetch", fetch)
    return calls


def test_hub_names_and_aliases_pass_through_the_one_seam(fetched: list[tuple[Any, ...]]) -> None:
    open_pack("owner/name")
    open_pack("owner/name@v1.2")
    open_pack("owner/name", revision="main", token="t", cache_dir="c", local_files_only=True)
    open_pack("llava-1.5", revision="v3")
    assert [call[:2] for call in fetched] == [
        ("owner/name", None),
        ("owner/name", "v1.2"),
        ("owner/name", "main"),
        ("ras-ext/llava-1.5-7b-hf-ras", "v3"),
    ]
    assert fetched[2][2] == {"base_model": None, "token": "t", "cache_dir": "c", "local_files_only": True}
    assert fetched[3][2]["base_model"] == "llava-hf/llava-1.5-7b-hf"
    with pytest.raises(PackNotFoundError, match="drop one"):
        open_pack("owner/name@v1", revision="v2")


@pytest.mark.parametrize("name", ["owner/name@", "owner/name@../x", "owner/na me", "@v1", "a/../b", "owner/name@v 1"])
def test_what_is_no_hub_name_never_reaches_the_seam(name: str, fetched: list[tuple[Any, ...]]) -> None:
    with pytest.raises(PackNotFoundError):
        open_pack(name)
    assert fetched == []


def test_a_pinned_alias_means_these_bytes_and_no_others(
    tmp_path: Path,
    pack_folder: Path,
    forge: Callable[..., None],
    fetched: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "aliases.json"
    path.write_text(json.dumps({"ours": {"repo": "a/b", "digest": read_pack(pack_folder).digest}}))
    monkeypatch.setenv("RAS_EXT_ALIASES", str(path))
    assert open_pack("ours").config["name"] == "tiny"
    forge(lambda config: config.update(name="swapped"))
    assert open_pack("a/b").config["name"] == "swapped"
    with pytest.raises(PackError, match="is pinned to the pack with digest"):
        open_pack("ours")
