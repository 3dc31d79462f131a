"""What a name can mean: built-in packs, folders, aliases, the Hub, a folder registry. Nothing is fetched here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ras_ext
from ras_ext.registry import (
    PackError,
    PackNotFoundError,
    Source,
    aliases,
    locate,
    open_pack,
    parse,
    push,
    read_pack,
)
from ras_ext.registry.layout import CONFIG_FILE


def test_a_folder_is_used_as_it_is(pack_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = read_pack(pack_folder).digest
    assert open_pack(pack_folder).digest == digest
    assert open_pack(str(pack_folder)).digest == digest
    assert open_pack(f"file://{pack_folder}").digest == digest
    monkeypatch.chdir(pack_folder.parent)
    assert open_pack("pack").digest == digest
    assert open_pack("./pack").digest == digest
    assert locate("pack").source is None


@pytest.mark.parametrize("name", ["./absent", "/absent/pack", "~/absent-pack", "a/b/c", "file:///absent"])
def test_a_path_that_leads_nowhere_is_not_looked_for_elsewhere(name: str) -> None:
    with pytest.raises(PackNotFoundError, match="no such folder"):
        open_pack(name)


def test_built_in_packs_are_found_in_the_installed_package() -> None:
    with pytest.raises(PackNotFoundError, match="no built-in pack 'builtin:absent'; the built-in packs are:"):
        open_pack("builtin:absent")
    with pytest.raises(PackNotFoundError, match="no built-in pack"):
        open_pack("builtin:../organism")
    root = Path(ras_ext.__file__).parent / "organism" / "pack"
    assert (root / CONFIG_FILE).exists()
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
    assert {"llava-1.5-7b", "llava-1.5-13b", "qwen-vl-chat", "internlm-xcomposer-2.5", "qwen2.5-vl"} <= set(shipped)
    assert aliases({"RAS_EXT_NAMESPACE": "our-team"})["llava-1.5"].repo == "our-team/llava-1.5-7b-hf-ras"


def test_a_users_alias_file_adds_and_overrides(tmp_path: Path, own_home: Path) -> None:
    (own_home / "aliases.json").write_text(json.dumps({"home": {"repo": "c/d"}, "llava-1.5": {"repo": "c/d"}}))
    path = tmp_path / "aliases.json"
    path.write_text(json.dumps({"ours": {"repo": "{namespace}/ours", "revision": "v2"}, "llava-1.5": {"repo": "a/b"}}))
    table = aliases({"RAS_EXT_ALIASES": str(path), "RAS_EXT_NAMESPACE": "team"})
    assert (table["ours"].repo, table["ours"].revision) == ("team/ours", "v2")
    assert table["home"].repo == "c/d"
    assert table["llava-1.5"].repo == "a/b"  # the file that is named stands above the one at home
    assert aliases({})["llava-1.5"].repo == "c/d"
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


def test_names_mean_repositories_on_the_hub_at_the_revision_they_name() -> None:
    assert parse("owner/name").source == Source("owner/name")
    assert parse("owner/name").revision is None
    assert parse("owner/name@v1.2").revision == "v1.2"
    assert parse("owner/name", "main").revision == "main"
    alias = parse("llava-1.5@v3")
    assert (alias.source, alias.revision) == (Source("ras-ext/llava-1.5-7b-hf-ras"), "v3")
    assert alias.base_model == "llava-hf/llava-1.5-7b-hf"
    with pytest.raises(PackNotFoundError, match="drop one"):
        parse("owner/name@v1", "v2")


@pytest.mark.parametrize("name", ["owner/name@", "owner/na me", "@v1", "owner/name@v 1"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(PackNotFoundError):
        parse(name)


def test_a_pinned_alias_promises_its_revision_and_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aliases.json"
    path.write_text(json.dumps({"ours": {"repo": "a/b", "revision": "v2", "digest": "f" * 64}}))
    monkeypatch.setenv("RAS_EXT_ALIASES", str(path))
    found = parse("ours")
    assert (found.revision, found.digest) == ("v2", "f" * 64)
    with pytest.raises(PackNotFoundError, match="drop one"):
        parse("ours@v1")


def test_with_a_folder_registry_set_names_are_looked_for_there(
    tmp_path: Path, pack_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shared"
    monkeypatch.setenv("RAS_EXT_REGISTRY", str(root))
    push(pack_folder, "team/tiny")
    assert parse("team/tiny@v1").source == Source("team/tiny", f"file://{root}")
    assert parse("llava-1.5").source == Source("ras-ext/llava-1.5-7b-hf-ras", f"file://{root}")
    monkeypatch.delenv("RAS_EXT_REGISTRY")
    assert parse("team/tiny").source == Source("team/tiny")
    assert parse(f"{root}/team/tiny@v1").source == Source("team/tiny", f"file://{root}")
    assert parse(f"file://{root}/team/tiny").revision is None
