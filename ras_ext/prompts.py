"""The words of the defence: the question that draws out the visual context, the safety prompt, and how they are joined.

Stage 1 asks the model ``visual_context`` about the image; stage 2 scores the reformulated query; stage 3 sees neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ras_ext.errors import PackError

_PLACEHOLDER = re.compile(r"( ?)\{([A-Za-z_]+)\}")
_NAMES = {"safety", "visual_context", "query"}


@dataclass(frozen=True)
class Prompts:
    """Prompts in any language. ``reformulation`` is a template over ``{safety}``, ``{visual_context}`` and ``{query}``.

    ``max_context_tokens`` bounds the visual context that the model writes. Raises PackError on an unusable template.
    """

    visual_context: str
    safety: str
    reformulation: str = "{safety}\n{visual_context}\n{query}"
    max_context_tokens: int = 40

    def __post_init__(self) -> None:
        if "{query}" not in self.reformulation:
            raise PackError(
                f"the reformulation template must contain {{query}}, got: {self.reformulation!r}; "
                "add it where the question goes"
            )
        unknown = [name for _, name in _PLACEHOLDER.findall(self.reformulation) if name not in _NAMES]
        if unknown:
            raise PackError(
                f"the reformulation template has the unknown placeholder {{{unknown[0]}}}; "
                "use {safety}, {visual_context} and {query}"
            )
        if self.max_context_tokens < 1:
            raise PackError(f"max_context_tokens must be at least 1, got: {self.max_context_tokens}; the default is 40")

    def reformulate(self, query: str, visual_context: str = "") -> str:
        """The query that is scored. Lines of the template whose parts are all empty are left out.

        The texts are put in as they are: braces in them are never taken for placeholders.
        """
        parts = {"safety": self.safety, "visual_context": visual_context.strip(), "query": query}
        lines = []
        for line in self.reformulation.split("\n"):
            names = [name for _, name in _PLACEHOLDER.findall(line)]
            if names and not any(parts[name] for name in names):
                continue
            lines.append(_PLACEHOLDER.sub(lambda match: match[1] + parts[match[2]] if parts[match[2]] else "", line))
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Prompts:
        """From a mapping with any of the fields; the others keep their defaults. Raises PackError on an unknown one."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise PackError(f"prompts have no field {unknown[0]!r}; the fields are {', '.join(sorted(known))}")
        return cls(**{**asdict(DEFAULT_PROMPTS), **value})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT_PROMPTS = Prompts(
    visual_context=(
        'Describe in one sentence, beginning with "The image shows", what in this image matters for judging whether a '
        "request about it is safe. If the image contains written text, read that text out."
    ),
    safety=(
        "First judge whether answering the question below is safe, taking into account what the image shows. If the "
        "question is harmless, answer it as you normally would. If it is unsafe, malicious or illegal, apologise and "
        "refuse to answer."
    ),
)
