"""Attention in the score, off unless asked for; and layers whose labels mean something, against labels that do not."""

from __future__ import annotations

import pytest

from ras_ext import Guard, calibrate
from ras_ext.errors import InputError
from ras_ext.explaining import layer_separation
from ras_ext.items import Item, load_items
from ras_ext.organism import queries
from ras_ext.organism.queries import PROMPTS
from tests.conftest import Subject


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return load_items(queries.write_set("calibration", tmp_path_factory.mktemp("set"), count=48))


@pytest.fixture(scope="module")
def located(organism: Subject, images: list[Item]) -> Subject:
    """The organism with vectors that say which heads to read and how risky a visual token is."""
    lists = {label: queries.text_queries("calibration", label)[:24] for label in ("unsafe", "safe")}
    vectors = calibrate(organism.model, organism.processor, **lists, images=images, prompts=PROMPTS, max_new_tokens=8)
    return Subject(organism.model, organism.processor, vectors)


def test_evidence_from_attention_is_off_unless_asked_for(
    organism: Subject, located: Subject, images: list[Item]
) -> None:
    requests = [item.request() for item in images if item.image is not None][:6]
    plain = Guard(located.model, located.processor, located.vectors)
    weighed = Guard(located.model, located.processor, located.vectors, evidence="attention")
    for one, other in zip(plain.assess_batch(requests), weighed.assess_batch(requests), strict=True):
        assert one.similarity == pytest.approx(other.similarity, abs=1e-6)
        assert 0.0 <= other.risk <= 1.0
    assert {a.image_prefills for a in weighed.generate_batch(requests, max_new_tokens=4)} == {2}
    with pytest.raises(InputError, match="no calibrated evidence"):
        Guard(organism.model, organism.processor, organism.vectors, evidence="attention")
    with pytest.raises(InputError):
        Guard(located.model, located.processor, located.vectors, evidence="tea leaves")


def test_layers_tell_safe_from_unsafe_better_where_the_states_are_apart(organism: Subject, images: list[Item]) -> None:
    found = layer_separation(organism.model, organism.processor, images, PROMPTS)
    assert set(found.ratio) == {"original", "visual context", "safety prompt", "both"}
    assert {len(values) for values in found.ratio.values()} == {5}
    # Half of its harm is only in the picture: context and safety prompt together set it apart.
    assert found.ratio["both"][-1] > found.ratio["original"][-1]
    # The twin: labels that mean nothing are told apart worse.
    mixed = [
        Item(one.id, one.text, ("safe", "unsafe")[n % 2], one.image, one.reference, one.kind, one.history)
        for n, one in enumerate(sorted(images, key=lambda item: item.id))
    ]
    random = layer_separation(organism.model, organism.processor, mixed, PROMPTS)
    assert random.ratio["both"][-1] < found.ratio["both"][-1]
