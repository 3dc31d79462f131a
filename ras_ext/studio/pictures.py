"""From an uploaded file to the picture a model is shown, or one sentence why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ras_ext.errors import InputError

MOST_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Picture:
    """An RGB image, as people see it, and what was done to the file to make it so; empty where nothing was."""

    image: Image.Image
    remark: str = ""


def read_picture(path: Path) -> Picture:
    """Reads an upload: upright, its transparent parts on white, in RGB.

    What people see must be what is judged: dropping the alpha channel would show the model colours that no one sees.

    Raises:
        InputError: it is no image, too large, animated, or damaged.
    """
    name = path.name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # the size is looked at here, before decoding
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise InputError(f"{name!r} is no image that can be read here; send a PNG, JPEG or WebP") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise anything
        raise InputError(f"{name!r} cannot be read ({error}); send an intact PNG, JPEG or WebP") from None
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise InputError(
                f"{name!r} has {width * height / 1e6:.0f} megapixels ({width} × {height}), more than the "
                f"{MOST_PIXELS / 1e6:.0f} taken here; make it smaller"
            )
        try:
            if (frames := _frames(image)) > 1:
                raise InputError(
                    f"{name!r} is animated ({frames} frames), and a model would see one; send a single picture"
                )
            image.load()
            if image.mode not in _MODES:
                raise InputError(
                    f"{name!r} has pixels of the type {image.mode}, not of 8 bits a channel; save it as PNG or JPEG"
                )
            return _as_seen(image)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(f"{name!r} is damaged ({error}); send an intact file") from None


def _frames(image: Image.Image) -> int:
    """How many pictures the file shows one after the other; what cameras put behind a JPEG is never shown."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _as_seen(image: Image.Image) -> Picture:
    remarks = []
    upright = ImageOps.exif_transpose(image)
    if upright.size != image.size or upright.tobytes() != image.tobytes():
        remarks.append("turned upright")
    if upright.has_transparency_data:
        clear = upright.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        upright = Image.alpha_composite(ground, clear)
        if clear.getchannel("A").getextrema() != (255, 255):
            remarks.append("put on white where it is transparent")
    elif upright.mode == "CMYK":
        remarks.append("turned from CMYK into RGB")
    return Picture(upright.convert("RGB"), ", ".join(remarks))
