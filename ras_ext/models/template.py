"""Chat templates for checkpoints that bring none: a turn's parts in order, between the marks of its family."""

from __future__ import annotations


def content(image: str) -> str:
    """Jinja for one `message`: its text, with `image` (a literal) wherever an image stands among its parts."""
    return (
        "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
        "{% if part.type == 'image' %}" + image + "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    )


def chatml(image: str, *, before: str = "", after_role: str = "\n", between: str = "\n") -> str:
    """ChatML: ``<|im_start|>role`` … ``<|im_end|>``.

    Args:
        image: what marks an image in a turn.
        before: what opens a conversation without a system turn.
        after_role: what parts the role from the text.
        between: what parts the turns.
    """
    opening = "{% if messages[0].role != 'system' %}" + before + "{% endif %}" if before else ""
    return (
        opening
        + "{% for message in messages %}<|im_start|>{{ message.role }}{{ '"
        + after_role.replace("\n", "\\n")
        + "' }}"
        + content(image)
        + "<|im_end|>{{ '"
        + between.replace("\n", "\\n")
        + "' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}"
    )
