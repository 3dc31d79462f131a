"""Mllama (Llama 3.2 Vision): the image enters by cross-attention; one token in the prompt says from where on.

A token that sees no image has an empty cross-attention mask, and transformers then lets it see all of them alike, the
padding of rows with fewer images too: a batch runs in parts of rows with equally many.
"""

from __future__ import annotations

from ras_ext.models.parts import Family
from ras_ext.models.template import content

_HEADER = "<|start_header_id|>{{ %s }}<|end_header_id|>{{ '\\n\\n' }}"

FAMILY = Family(
    name="mllama",
    model_types=("mllama",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_model",
    chat_template=(
        "{{ bos_token }}{% for message in messages %}"
        + _HEADER % "message.role"
        + content("<|image|>")
        + "<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
        + _HEADER % "'assistant'"
        + "{% endif %}"
    ),
    nested_images=True,
    even_batches=True,
)
