"""Running a batch in parts, and putting the answers back in their places."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from ras_ext.batches import parts_of, run_in_parts
from ras_ext.conversation import Request
from ras_ext.models import llava

PIXEL = Image.new("RGB", (1, 1))
COUNTS = (1, 0, 2, 1, 0)


def test_rows_of_equally_many_images_are_a_part_and_come_back_in_order() -> None:
    requests = [Request((), (PIXEL,) * count) for count in COUNTS]
    assert parts_of(llava.FAMILY, requests) == [[0, 1, 2, 3, 4]]
    parts = parts_of(replace(llava.FAMILY, even_batches=True), requests)
    assert parts == [[0, 3], [1, 4], [2]]
    ran: list[list[int]] = []

    def run(some: list[Request]) -> list[int]:
        ran.append([len(request.images) for request in some])
        return ran[-1]

    assert run_in_parts(parts, requests, run) == list(COUNTS)
    assert ran == [[1, 1], [0, 0], [2]]


def test_no_requests_are_no_parts() -> None:
    assert parts_of(llava.FAMILY, []) == []
