"""Idefics3: a SigLIP tower over tiles, patches shuffled into channels, and a Llama."""

from __future__ import annotations

from ras_ext.models.parts import Family
from ras_ext.models.template import content


def chat_template(start: str) -> str:
    """``User: …<end_of_utterance>`` turns after `start`; no space stands between the colon and an image."""
    return (
        start + "{% for message in messages %}{{ message.role | capitalize }}:"
        "{% if message.content is string or message.content[0].type != 'image' %} {% endif %}"
        + content("<image>")
        + "<end_of_utterance>{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )


FAMILY = Family(
    name="idefics3",
    model_types=("idefics3",),
    final_norm="model.text_model.norm",
    layers="model.text_model.layers",
    vision="model.vision_model",
    chat_template=chat_template("<|begin_of_text|>"),
    nested_images=True,
)
