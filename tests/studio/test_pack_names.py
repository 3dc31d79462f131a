"""A name is a name: whatever could be a place on this machine, or anywhere, is refused with one sentence."""

from __future__ import annotations

import pytest

from ras_ext.errors import InputError
from ras_ext.studio.pack_names import checked_name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner/name", ("owner/name", None)),
        ("name", ("name", None)),
        (" owner/name@v2 ", ("owner/name", "v2")),
        ("name@" + "0" * 40, ("name", "0" * 40)),
        ("a.b-c_d/e", ("a.b-c_d/e", None)),
    ],
)
def test_names_are_taken_with_and_without_a_revision(text: str, found: tuple[str, str | None]) -> None:
    assert checked_name(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        " ",
        "/etc/passwd",
        "~/packs",
        "~root",
        "./pack",
        "../pack",
        ".hidden",
        "owner/../name",
        "owner/..",
        "a/b/c",
        "owner\\name",
        "C:\\packs",
        "C:/packs",
        "file:///packs/name",
        "file:/packs",
        "s3://bucket/name",
        "https://example.org/owner/name",
        "name@../../etc",
        "name@refs/pr/1",
        "name@",
        "@v1",
        "owner/name@v1@v2",
        "owner--name",
        "na\x00me",
        "na me",
        "$HOME/name",
        "${HOME}",
        "%2e%2e/name",
        "builtin:organism",
        "ｏwner/name",
        "o/" + "n" * 97,
    ],
)
def test_all_else_is_refused_with_one_sentence(text: str | None) -> None:
    with pytest.raises(InputError, match="a pack is named owner/name or name") as error:
        checked_name(text)
    assert "\n" not in str(error.value)
