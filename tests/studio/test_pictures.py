"""Any bytes are a picture as people see it, or one sentence; the size is looked at before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ras_ext.errors import InputError
from ras_ext.studio.pictures import MOST_PIXELS, Picture, read_picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on damaged files
_RANDOM = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "a.png") -> Picture:
    path = tmp_path / name
    path.write_bytes(data)
    return read_picture(path)


def png_header(width: int, height: int, *rest: bytes) -> bytes:
    """A PNG that says how large it is, and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(b"IDAT", data) for data in rest) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG"])
def test_every_kind_that_is_taken_is_read_as_pillow_reads_it(tmp_path: Path, kind: str) -> None:
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(_RANDOM, kind, **options)
    found = read(tmp_path, data)
    assert found.image.mode == "RGB"
    assert found.remark == ""
    assert np.array_equal(found.image, Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"%PDF-1.4", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 99]
)
def test_what_is_no_image_is_said(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"'a\.png' is no image that can be read here; send a PNG, JPEG or WebP"):
        read(tmp_path, data)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "PPM", "TGA"])
def test_kinds_that_need_much_code_to_read_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="is no image that can be read here"):
        read(tmp_path, encoded(_RANDOM, kind))


@pytest.mark.parametrize("size", [(10_000, 5_000), (5_001, 5_000), (2**31 - 1, 2**31 - 1), (30_000, 30_000)])
def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match=r"megapixels|exceeds limit"):
        read(tmp_path, png_header(*size))


def test_fifty_megapixels_are_named_with_what_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 50 megapixels \(10000 × 5000\), more than the 25 taken here"):
        read(tmp_path, png_header(10_000, 5_000))


def test_the_largest_picture_is_taken(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5)
    assert read(tmp_path, encoded(Image.new("1", (side, side)), "PNG")).image.size == (side, side)


def test_a_small_picture_whose_data_go_on_for_ever_is_read_up_to_its_size(tmp_path: Path) -> None:
    more = zlib.compress(b"\0" * (50 << 20), 9)  # 50 MB of rows in 50 kB, behind a header that says 4 by 4
    assert read(tmp_path, png_header(4, 4, more)).image.size == (4, 4)


def test_a_text_chunk_that_unpacks_to_much_is_one_sentence(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "a" * (8 << 20), zip=True)
    with pytest.raises(InputError, match=r"'a\.png'"):
        read(tmp_path, encoded(_RANDOM, "PNG", pnginfo=info))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_refused(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"is animated \(3 frames\), and a model would see one"):
        read(tmp_path, data)


def test_the_second_picture_of_a_camera_is_no_animation(tmp_path: Path) -> None:
    data = encoded(_RANDOM, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert np.array_equal(read(tmp_path, data, "a.jpg").image, Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_truncated_file_is_damaged(tmp_path: Path, kind: str) -> None:
    data = encoded(_RANDOM, kind)
    with pytest.raises(InputError, match=r"'a\.png' (is damaged|cannot be read|is no image)"):
        read(tmp_path, data[: len(data) // 2])


def test_a_cmyk_jpeg_is_turned_into_rgb_and_said(tmp_path: Path) -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = read(tmp_path, encoded(red, "JPEG", quality=100))
    assert found.remark == "turned from CMYK into RGB"
    r, g, b = found.image.getpixel((4, 4))
    assert (r > 200, g < 80, b < 80) == (True, True, True)


def test_hidden_colours_are_put_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 1), (255, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 255, 255))
    clear.putpixel((2, 0), (0, 0, 0, 128))
    found = read(tmp_path, encoded(clear, "PNG"))
    assert found.remark == "put on white where it is transparent"
    pixels = [found.image.getpixel((x, 0)) for x in range(3)]
    assert pixels == [(255, 255, 255), (0, 0, 255), (127, 127, 127)]


def test_an_alpha_channel_that_hides_nothing_is_not_worth_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, encoded(_RANDOM.convert("RGBA"), "PNG")).remark == ""


def test_a_palette_with_a_transparent_colour_is_put_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    found = read(tmp_path, encoded(palette, "PNG", transparency=0))
    assert [found.image.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (0, 0, 255)]
    assert found.remark == "put on white where it is transparent"


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
def test_grey_and_palette_pictures_are_read(tmp_path: Path, mode: str) -> None:
    found = read(tmp_path, encoded(_RANDOM.convert(mode), "PNG"))
    assert (found.image.mode, found.image.size, found.remark) == ("RGB", _RANDOM.size, "")


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (encoded(Image.new("I;16", (8, 8), 999), "PNG"), "I;16"),
        (encoded(Image.new("F", (8, 8), 0.5), "TIFF"), "F"),
        (encoded(Image.new("I", (8, 8), 70_000), "TIFF"), "I"),
        (encoded(Image.new("LAB", (8, 8)), "TIFF"), "LAB"),
    ],
)
def test_pixels_that_are_not_of_eight_bits_are_refused(tmp_path: Path, data: bytes, mode: str) -> None:
    with pytest.raises(InputError, match=f"has pixels of the type {mode}, not of 8 bits a channel; save it as"):
        read(tmp_path, data)


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_picture_is_shown_upright(tmp_path: Path, turned: int) -> None:
    backwards = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera held so would have written it
    image = _RANDOM if turned == 1 else _RANDOM.transpose(Image.Transpose(backwards[turned]))
    exif = Image.Exif()
    exif[0x0112] = turned
    found = read(tmp_path, encoded(image, "PNG", exif=exif))
    assert np.array_equal(found.image, _RANDOM)
    assert found.remark == ("" if turned == 1 else "turned upright")


def _either(folder: Path, data: bytes) -> None:
    said = ""
    try:
        found = read(folder, data)
    except InputError as error:
        said = str(error)
    assert str(folder) not in said
    assert said.startswith("'a.png' ") or found.image.mode == "RGB"


_KINDS = [encoded(_RANDOM, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")] + [
    encoded(_RANDOM, kind, save_all=True, append_images=[_RANDOM.rotate(9)]) for kind in ("GIF", "WEBP", "PNG", "TIFF")
]
_HEADS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\x20\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*", b""]
_OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_OFTEN
@given(head=st.sampled_from(_HEADS), rest=st.binary(max_size=400))
def test_any_bytes_are_a_picture_or_a_sentence(tmp_path: Path, head: bytes, rest: bytes) -> None:
    _either(tmp_path, head + rest)


@_OFTEN
@given(data=st.sampled_from(_KINDS), share=st.floats(0, 1))
def test_any_truncation_is_a_picture_or_a_sentence(tmp_path: Path, data: bytes, share: float) -> None:
    _either(tmp_path, data[: int(len(data) * share)])


@_OFTEN
@given(data=st.sampled_from(_KINDS), places=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8))
@example(data=_KINDS[0], places=[(16, 255)])
def test_any_damage_is_a_picture_or_a_sentence(tmp_path: Path, data: bytes, places: list[tuple[int, int]]) -> None:
    hurt = bytearray(data)
    for place, value in places:
        hurt[place % min(len(hurt), 400)] = value  # the header is where it hurts
    _either(tmp_path, bytes(hurt))
