"""Gemma 3: a SigLIP tower pooled to a fixed number of tokens, which see each other in both directions.

Which tokens those are is told by `token_type_ids`. Its norm multiplies by one plus its weight; the prototypes are read
behind it, so that this changes nothing. Where a checkpoint caps its logits, only the state carrier is exact.
"""

from __future__ import annotations

from ras_ext.models.parts import Family
from ras_ext.models.template import content

FAMILY = Family(
    name="gemma3",
    model_types=("gemma3",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=(
        "{{ bos_token }}{% for message in messages %}"
        "<start_of_turn>{{ 'model' if message.role == 'assistant' else 'user' }}{{ '\\n' }}"
        + content("<start_of_image>")
        + "<end_of_turn>{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}<start_of_turn>model{{ '\\n' }}{% endif %}"
    ),
    nested_images=True,
)
