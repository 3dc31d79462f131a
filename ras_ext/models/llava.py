"""LLaVA-1.5: a CLIP tower, a projector and a Llama; image features stand where the image tokens are."""

from __future__ import annotations

from ras_ext.models.parts import Family

FAMILY = Family(
    name="llava",
    model_types=("llava",),
    final_norm="model.language_model.norm",
    layers="model.language_model.layers",
    vision="model.vision_tower",
    chat_template=(
        "{% for message in messages %}{{ message.role | upper }}: "
        "{% if message.content is string %}{{ message.content }}{% else %}"
        "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
        "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}{% endif %} {% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    ),
)
