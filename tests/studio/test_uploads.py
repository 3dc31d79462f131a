"""What visitors send is bounded, deleted once it is read, and nothing else of the machine can be named."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ras_ext.errors import InputError
from ras_ext.studio import uploads as module
from ras_ext.studio.uploads import MOST_BYTES, MOST_FILES, Uploads


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    found = Uploads()
    yield found
    found.close()


def sent(uploads: Uploads, name: str = "a.txt", text: str = "x", at: str = "0f") -> Path:
    """A file as Gradio lays it down: in a folder named by its bytes."""
    (uploads.arriving / at).mkdir(exist_ok=True)
    path = uploads.arriving / at / name
    path.write_text(text)
    return path


def test_what_was_sent_is_read_and_then_gone_with_its_folder(uploads: Uploads) -> None:
    path = sent(uploads)
    with uploads.taken(str(path)) as (file,):
        assert file.read_text() == "x"
    assert list(uploads.arriving.iterdir()) == []


def test_it_is_gone_after_an_error_too(uploads: Uploads) -> None:
    path = sent(uploads)
    with pytest.raises(KeyError), uploads.taken([path]):
        raise KeyError("anything")
    assert not path.exists()


def test_a_neighbour_in_the_same_folder_stays(uploads: Uploads) -> None:
    path, other = sent(uploads), sent(uploads, "b.txt")
    with uploads.taken(path):
        pass
    assert other.exists()


@pytest.mark.parametrize("nothing", [None, []])
def test_nothing_sent_is_said(uploads: Uploads, nothing: list[str] | None) -> None:
    with pytest.raises(InputError, match="no file was sent; choose one"), uploads.taken(nothing):
        pass


def test_a_file_that_is_too_large_is_refused_and_deleted(uploads: Uploads) -> None:
    path = sent(uploads)
    os.truncate(path, MOST_BYTES)
    with uploads.taken(path):
        pass
    path = sent(uploads)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(InputError, match=f"'a.txt' has {MOST_BYTES + 1:,} bytes"), uploads.taken(path):
        pass
    assert not path.exists()


def test_too_many_files_are_refused_and_deleted(uploads: Uploads) -> None:
    paths = [sent(uploads, f"{number}.txt") for number in range(MOST_FILES + 1)]
    with pytest.raises(InputError, match=f"{MOST_FILES + 1} files were sent"), uploads.taken(paths):
        pass
    assert not any(path.exists() for path in paths)


def test_a_path_that_was_not_sent_is_refused_and_left_alone(uploads: Uploads, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (uploads.arriving / "link.txt").symlink_to(mine)
    (uploads.arriving / "loop").symlink_to(uploads.arriving / "loop")
    (uploads.arriving / "folder").symlink_to(tmp_path)
    kept = uploads.keep("ann", [mine]) / "mine.txt"
    for path in (
        "/etc/passwd",
        mine,
        kept,
        uploads.arriving,
        uploads.arriving / "link.txt",
        uploads.arriving / "folder" / "mine.txt",
        uploads.arriving / "loop",
        uploads.arriving / ".." / ".." / mine.name,
        uploads.arriving / "absent.txt",
        uploads.arriving / ("long" * 100),
        "nul\0byte",
        "",
        "http://127.0.0.1:9/a.txt",
    ):
        with pytest.raises(InputError, match="is no file that was sent from this page"), uploads.taken(path):
            pass
    assert Path("/etc/passwd").exists()
    assert mine.read_text() == kept.read_text() == "mine"


def test_a_bad_path_among_good_ones_deletes_the_good_ones(uploads: Uploads) -> None:
    path = sent(uploads)
    with pytest.raises(InputError, match="'passwd'"), uploads.taken([path, "/etc/passwd"]):
        pass
    assert not path.exists()


def test_the_sentence_on_a_foreign_path_names_no_folder(uploads: Uploads) -> None:
    with pytest.raises(InputError) as refused, uploads.taken("/etc/ssl/private/thing"):
        pass
    assert "/" not in str(refused.value)


def test_what_is_kept_outlives_the_upload_and_goes_with_the_visit(uploads: Uploads) -> None:
    with uploads.taken([sent(uploads, "a.txt", "one"), sent(uploads, "b.txt", "two")]) as files:
        folder = uploads.keep("ann", files)
    other = uploads.keep("bob", [])
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt"]
    uploads.forget("ann")
    uploads.forget("nobody")
    assert not folder.exists()
    assert other.exists()


def test_two_files_of_one_name_are_refused(uploads: Uploads) -> None:
    files = [sent(uploads, "a.txt", at="0f"), sent(uploads, "a.txt", at="1f")]
    with pytest.raises(InputError, match=r"two of the files sent are called 'a\.txt'"):
        uploads.keep("ann", files)


def test_a_file_that_cannot_be_copied_leaves_nothing_behind_the_visit(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        uploads.keep("ann", [sent(uploads), tmp_path / "absent.txt"])
    uploads.forget("ann")
    assert list(uploads.folder.glob("visit-*")) == []


def test_the_end_of_the_studio_deletes_everything(uploads: Uploads) -> None:
    sent(uploads)
    uploads.keep("ann", [])
    uploads.close()
    assert not uploads.folder.exists()
    uploads.close()  # once more is no error


def test_only_this_user_can_look_into_the_folder(uploads: Uploads) -> None:
    assert uploads.folder.stat().st_mode & 0o077 == 0


def test_empty_strays_are_swept_when_they_are_old(uploads: Uploads) -> None:
    old, young, full, path = (uploads.arriving / name for name in ("tmpold", "tmpyoung", "tmpfull", "x"))
    for stray in (old, young, full):
        stray.touch()
    full.write_text("still being read")
    long_ago = time.time() - module._STRAY - 1
    for stray in (old, full):
        os.utime(stray, (long_ago, long_ago))
    path.touch()
    with uploads.taken(path):
        pass
    assert sorted(stray.name for stray in uploads.arriving.iterdir()) == ["tmpfull", "tmpyoung"]
