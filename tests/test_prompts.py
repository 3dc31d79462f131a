from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ras_ext.errors import PackError
from ras_ext.prompts import DEFAULT_PROMPTS, Prompts


def test_the_reformulated_query_holds_safety_prompt_context_and_question_in_this_order() -> None:
    text = Prompts("look", "be safe").reformulate("what is this?", "The image shows a cat.")
    assert text == "be safe\nThe image shows a cat.\nwhat is this?"


def test_without_a_visual_context_no_blank_line_is_left() -> None:
    assert Prompts("look", "be safe").reformulate("what?", "") == "be safe\nwhat?"
    assert Prompts("look", "be safe").reformulate("what?", " \n") == "be safe\nwhat?"
    one_line = Prompts("look", "be safe", "{safety} {visual_context} {query}")
    assert one_line.reformulate("what?", "") == "be safe what?"
    assert one_line.reformulate("what?", "A cat.") == "be safe A cat. what?"
    labelled = Prompts("look", "be safe", "{safety}\n\nContext: {visual_context}\nQuestion: {query}")
    assert labelled.reformulate("what?", "") == "be safe\n\nQuestion: what?"


def test_braces_in_what_users_and_images_say_are_left_alone() -> None:
    prompts = Prompts("look", "be {safe}", "{safety}|{visual_context}|{query}")
    assert prompts.reformulate("{safety} {0} {{x}} \\1", "{query}") == "be {safe}|{query}|{safety} {0} {{x}} \\1"


@settings(max_examples=60, deadline=None)
@given(query=st.text(min_size=1), context=st.text())
def test_any_question_arrives_whole(query: str, context: str) -> None:
    text = DEFAULT_PROMPTS.reformulate(query, context)
    assert text.endswith("\n" + query)
    assert text.startswith(DEFAULT_PROMPTS.safety + "\n")
    assert context.strip() in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reformulation": "{safety}"}, "must contain {query}"),
        ({"reformulation": "{question} {query}"}, "unknown placeholder {question}"),
        ({"max_context_tokens": 0}, "max_context_tokens"),
    ],
)
def test_an_unusable_template_is_refused(changes: dict, reason: str) -> None:
    with pytest.raises(PackError, match=reason):
        Prompts("look", "be safe", **changes)


def test_a_mapping_overrides_the_fields_it_names() -> None:
    changed = Prompts.from_dict({"safety": "sois prudent"})
    assert changed.safety == "sois prudent"
    assert changed.visual_context == DEFAULT_PROMPTS.visual_context
    assert Prompts.from_dict(changed.to_dict()) == changed
    with pytest.raises(PackError, match="no field 'saftey'"):
        Prompts.from_dict({"saftey": "x"})


def test_the_defaults_ask_for_one_sentence_and_for_a_judgement() -> None:
    assert '"The image shows"' in DEFAULT_PROMPTS.visual_context
    assert "one sentence" in DEFAULT_PROMPTS.visual_context
    assert "refuse" in DEFAULT_PROMPTS.safety
    assert DEFAULT_PROMPTS.max_context_tokens == 40
