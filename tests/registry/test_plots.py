from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ras_ext.registry import PackError, RawTensor, ScoredQuery, read_pack, write_pack
from ras_ext.registry.evidence import SIMILARITIES_FILE, encode_similarities, read_similarities
from ras_ext.registry.plots import RISK_FILE, THRESHOLD_FILE, risk_plot, threshold_plot, with_plots
from ras_ext.registry.theme import LIGHT

ALPHA, S_BASE = 15.955, 0.712


def rows(unsafe: float = 0.9, safe: float = 0.3) -> list[ScoredQuery]:
    return [
        ScoredQuery.of(f"{label}-{n}", label, "k", middle + n / 200, alpha=ALPHA, s_base=S_BASE)
        for label, middle in (("unsafe", unsafe), ("safe", safe))
        for n in range(12)
    ]


def files(**changes: float) -> dict[str, bytes]:
    return {SIMILARITIES_FILE: encode_similarities(rows(**changes))}


def share_of(image: bytes, colour: str) -> float:
    """The share of pixels of nearly one colour, ``#rrggbb``."""
    pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(int)
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return float((np.abs(pixels - wanted).max(-1) < 12).mean())


def test_both_plots_are_opaque_and_hold_both_colours() -> None:
    for image in (risk_plot(rows(), alpha=ALPHA, s_base=S_BASE), threshold_plot(rows(), s_base=S_BASE)):
        picture = Image.open(io.BytesIO(image))
        assert picture.format == "PNG"
        assert picture.width > 900
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        assert (alpha == 255).all()
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert share_of(image, LIGHT.safe) > 5e-4
        assert share_of(image, LIGHT.unsafe) > 5e-4
        assert len(image) < 80_000


def test_the_plots_show_what_the_rows_say() -> None:
    assert risk_plot(rows(), alpha=ALPHA, s_base=S_BASE) != risk_plot(rows(safe=0.4), alpha=ALPHA, s_base=S_BASE)
    assert threshold_plot(rows(), s_base=S_BASE) != threshold_plot(rows(safe=0.4), s_base=S_BASE)
    assert threshold_plot(rows(), s_base=S_BASE) != threshold_plot(rows(), s_base=0.5), "the mark moves"


def test_a_file_holds_no_date_and_no_version_of_what_drew_it() -> None:
    made = with_plots(files(), alpha=ALPHA, s_base=S_BASE)
    for name in (RISK_FILE, THRESHOLD_FILE):
        info = Image.open(io.BytesIO(made[name])).info
        assert set(info) == {"Source", "dpi"}
        assert "matplotlib" not in info["Source"].lower()


DRAWN_ANEW = """
import hashlib, sys
import matplotlib
matplotlib.rcParams.update({"axes.facecolor": "black", "font.size": 30, "text.color": "red"})
from tests.registry.test_plots import ALPHA, S_BASE, files
from ras_ext.registry.plots import with_plots
made = with_plots(files(), alpha=ALPHA, s_base=S_BASE)
print(*(hashlib.sha256(made[name]).hexdigest() for name in sorted(made)))
assert matplotlib.rcParams["font.size"] == 30
"""


def test_the_same_rows_give_the_same_bytes_in_another_process_under_another_style() -> None:
    import hashlib

    made = with_plots(files(), alpha=ALPHA, s_base=S_BASE)
    here = [hashlib.sha256(made[name]).hexdigest() for name in sorted(made)]
    done = subprocess.run(
        [sys.executable, "-c", DRAWN_ANEW], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120
    )
    assert done.stdout.split() == here, done.stderr


def test_plots_of_the_same_are_kept_and_others_are_drawn_anew() -> None:
    made = with_plots(files(), alpha=ALPHA, s_base=S_BASE)
    # As another matplotlib might have drawn it.
    foreign = {**made, RISK_FILE: made[RISK_FILE] + b"\0"}
    assert with_plots(foreign, alpha=ALPHA, s_base=S_BASE) == foreign
    assert with_plots({**made, RISK_FILE: b"no picture"}, alpha=ALPHA, s_base=S_BASE) == made
    moved = with_plots(made, alpha=ALPHA, s_base=0.5)
    assert moved[RISK_FILE] != made[RISK_FILE]
    assert moved[THRESHOLD_FILE] != made[THRESHOLD_FILE]
    before, after = (read_similarities(one[SIMILARITIES_FILE]) for one in (made, moved))
    assert [one.similarity for one in before] == [one.similarity for one in after]
    assert [one.risk for one in before] != [one.risk for one in after]
    assert with_plots({"evidence/x.md": b"x"}, alpha=ALPHA, s_base=S_BASE) == {"evidence/x.md": b"x"}


def test_a_pack_with_similarities_has_its_plots_listed_and_shown(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    pack = write_pack(tmp_path / "pack", config, tensors, files())
    assert {SIMILARITIES_FILE, RISK_FILE, THRESHOLD_FILE} <= set(pack.config["files"])
    assert "](evidence/risk.png)" in pack.files["README.md"].decode()
    again = write_pack(tmp_path / "again", config, tensors, files())
    assert again.digest == pack.digest
    loaded = {name: data for name, data in pack.files.items() if name != "README.md"}
    assert write_pack(tmp_path / "copy", config, tensors, loaded).digest == pack.digest
    bare = write_pack(tmp_path / "bare", config, tensors)
    assert bare.content_sha256 == pack.content_sha256
    assert RISK_FILE not in bare.files


def test_similarities_that_cannot_be_read_leave_the_pack_as_it_was(
    pack_folder: Path, config: dict[str, Any], tensors: dict[str, RawTensor]
) -> None:
    before = read_pack(pack_folder).digest
    with pytest.raises(PackError, match="line 1 must hold the columns"):
        write_pack(pack_folder, config, tensors, {SIMILARITIES_FILE: b"similarity\n0.5\n"})
    assert read_pack(pack_folder).digest == before


@pytest.mark.parametrize(("unsafe", "safe"), [(0.0, 0.0), (0.3, 0.9), (0.94, 0.94)])
def test_calibrations_that_tell_nothing_apart_are_drawn_too(unsafe: float, safe: float) -> None:
    bad = rows(unsafe, safe)
    for image in (risk_plot(bad, alpha=1e4, s_base=0.999), threshold_plot(bad, s_base=0.001)):
        Image.open(io.BytesIO(image)).verify()


def test_importing_the_module_does_not_import_matplotlib() -> None:
    code = "import sys, ras_ext.registry.pack; sys.exit(bool({'matplotlib', 'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
