"""The images of a chat request: how they may come, how large they may be, and that all stages see the same one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from ras_ext.errors import InputError
from ras_ext.registry.errors import in_one_line
from ras_ext.serve.stages import IMAGES

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.+-]+=[\w.+-]+)*;base64,", re.IGNORECASE)
_DETAILS = (None, "auto", "low", "high", "original")
_SHOWN = 60  # characters of an address in a sentence


class Pictures:
    """Takes images as data: URLs, and those of other addresses where the operator has allowed it.

    An address is fetched once: asked again for each stage, it could show the judge another image than the answer.

    Args:
        domains: hosts from which http: and https: URLs are fetched; none: nothing is fetched for anybody.
        folder: under which file: URLs are read; empty: none are.
        most: pixels of an image.
    """

    def __init__(self, *, domains: Sequence[str] = (), folder: str = "", most: int = 0) -> None:
        self._domains, self._folder, self._most = tuple(domains), folder, most
        self._connector: Any = None

    async def taken(self, turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The conversation with every image as a checked data: URL. Raises InputError for one that is not taken."""
        number, found = 0, []
        for turn in turns:
            parts = []
            for part in turn["content"]:
                if part["type"] in IMAGES:
                    number += 1
                    part = await self._part(part, f"image {number}")
                parts.append(part)
            found.append({**turn, "content": parts})
        return found

    async def _part(self, part: Mapping[str, Any], which: str) -> dict[str, Any]:
        if part["type"] != "image_url":
            raise InputError(f"{which} is of the type {part['type']}, which is not taken over HTTP; send an image_url")
        given = part["image_url"]
        url = given.get("url") if isinstance(given, Mapping) else None
        if not isinstance(url, str) or not url:
            raise InputError(f'{which} has no address; send {{"url": "data:image/png;base64,…"}} as its image_url')
        detail = given.get("detail")
        if detail not in _DETAILS:
            raise InputError(f"detail of {which} must be auto, low, high or original, got {str(detail)[:_SHOWN]!a}")
        if url[:5].lower() == "data:":
            data = _decoded(url, which)
        else:
            data = await self._fetched(url, which)
            url = "data:image/*;base64," + base64.b64encode(data).decode()
        await asyncio.to_thread(self._look, data, which)
        return {"type": "image_url", "image_url": {"url": url} if detail is None else {"url": url, "detail": detail}}

    async def _fetched(self, url: str, which: str) -> bytes:
        scheme = url.partition(":")[0].lower()
        shown = ascii(url[:_SHOWN])
        if scheme in ("http", "https") and not self._domains:
            raise InputError(
                f"{which} is at {shown}, and this server fetches nothing; send it as a data: URL "
                "(operators allow hosts by --allowed-media-domains)"
            )
        if scheme == "file" and not self._folder:
            raise InputError(
                f"{which} is at {shown}, and this server reads no files; send it as a data: URL "
                "(operators allow a folder by --allowed-local-media-path)"
            )
        if scheme not in ("http", "https", "file"):
            raise InputError(f"{which} is at {shown}, which is no address of an image; send it as a data: URL")
        try:
            image = await self._connection().fetch_image_async(url)
        except Exception as error:  # whatever vLLM's client and the image's reader raise
            raise InputError(f"{which} cannot be fetched from {shown}: {_why(error)}") from None
        return bytes(image.original_bytes)

    def _connection(self) -> Any:
        if self._connector is None:
            from vllm.multimodal.media.connector import MediaConnector

            self._connector = MediaConnector(
                allowed_local_media_path=self._folder, allowed_media_domains=list(self._domains)
            )
        return self._connector

    def _look(self, data: bytes, which: str) -> None:
        """At the head of the file only: what it says of its size has not been written out yet."""
        from vllm.multimodal.image import open_image

        try:
            with open_image(BytesIO(data)) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise InputError(f"{which} is larger than any image that is taken here; send a smaller one") from None
        except Exception as error:  # Pillow's readers raise whatever a broken file makes them
            raise InputError(f"{which} is no image that can be read ({_why(error)}); send a PNG or JPEG") from None
        if self._most and width * height > self._most:
            raise InputError(
                f"{which} is {width} x {height} pixels, and at most {self._most} are taken; send a smaller one"
            )


def _decoded(url: str, which: str) -> bytes:
    head = _DATA.match(url)
    if head is None:
        raise InputError(f"{which} has a data: URL without base64; send data:image/png;base64,…")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{which} is no base64; encode the file's bytes, without line ends") from None
    if not data:
        raise InputError(f"{which} is empty; send the file's bytes in base64")
    return data


def _why(error: Exception) -> str:
    # The reader names an object in memory, which says nothing to a client.
    return re.sub(r" <[^>]*>", "", in_one_line(error))[:200] or type(error).__name__
