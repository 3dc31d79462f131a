"""A processor made of a tokenizer and an image processor, for families whose own one wants packages for video.

It does what the guard asks of a processor and no more: chat templates, and a prompt in which every image token stands
as often as the model will put image features there. How often that is, each family says in a :class:`Pairing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ras_ext.errors import InputError, ModelError


@dataclass(frozen=True)
class Pairing:
    """What a family does with an image beside what its image processor does.

    Args:
        expand: ``(pair, features, index)`` → the text that stands for image `index` of a batch.
        options: ``(config)`` → keywords for the image processor.
        unused: features that only `expand` reads; the model does not take them.
        nested: the image processor wants a list of images per request.
        types: name of the input that marks image tokens with 1, where the model wants one.
        packages: what the family's own processor needs beside transformers.
    """

    expand: Callable[[Pair, Mapping[str, Any], int], str]
    options: Callable[[Any], dict[str, Any]] = lambda config: {}
    unused: tuple[str, ...] = ()
    nested: bool = False
    types: str | None = None
    packages: tuple[str, ...] = ("torchvision",)


class Pair:
    """A tokenizer and an image processor, used as one processor.

    Args:
        tokenizer: the checkpoint's tokenizer.
        image_processor: its image processor; the Pillow form is enough.
        config: the model's config, which names the image token and the sizes that `expand` needs.
        pairing: of the model's family.
        chat_template: instead of the tokenizer's own.

    Raises:
        ModelError: the tokenizer has no token of the id that marks an image in the config.
    """

    def __init__(
        self, tokenizer: Any, image_processor: Any, config: Any, pairing: Pairing, chat_template: str | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.config = config
        self.pairing = pairing
        self.chat_template = chat_template or getattr(tokenizer, "chat_template", None)
        self.image_token_id = image_token_id(config)
        token = None if self.image_token_id is None else tokenizer.convert_ids_to_tokens(self.image_token_id)
        if not token or token == tokenizer.unk_token:
            raise ModelError(
                f"the tokenizer has no token of id {self.image_token_id}, which marks an image in the model's config; "
                "give the tokenizer of the same checkpoint"
            )
        self.image_token: str = token

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], chat_template: str | None = None, **settings: Any
    ) -> Any:
        """The prompt of a conversation, as the tokenizer's method of that name."""
        return self.tokenizer.apply_chat_template(
            list(messages), chat_template=chat_template or self.chat_template, **settings
        )

    def __call__(
        self, text: Sequence[str], images: Sequence[Any] | None = None, *, return_tensors: str = "pt", **settings: Any
    ) -> dict[str, Any]:
        """Model inputs for prompts and their images in order; `settings` go to the tokenizer.

        Raises:
            InputError: there are not as many image tokens in the prompts as there are images, or two stand side by side
                for a model that tells images apart by where they stand.
        """
        texts = list(text)
        features: dict[str, Any] = {}
        marks = [one.count(self.image_token) for one in texts]
        counts = [len(one) if isinstance(one, (list, tuple)) else 1 for one in images or ()]
        if sum(marks) != sum(counts):
            raise InputError(
                f"the prompts hold {sum(marks)} image tokens {self.image_token!r} for {sum(counts)} images; "
                "leave that token out of the question, or use a chat template that marks each image once"
            )
        if images:
            given = list(images)
            if self.pairing.nested and not isinstance(given[0], (list, tuple)):
                flat = iter(given)
                given = [[next(flat) for _ in range(count)] for count in marks]
            read = self.image_processor(given, return_tensors=return_tensors, **self.pairing.options(self.config))
            features = dict(read)
            texts = self._expand(texts, features)
        encoded = dict(self.tokenizer(texts, return_tensors=return_tensors, **settings))
        if self.pairing.types:
            marked = (encoded["input_ids"] == self.image_token_id).to(torch.long)
            runs = int((marked.diff(dim=1, prepend=torch.zeros_like(marked[:, :1])) == 1).sum())
            if runs != sum(counts):
                raise InputError(
                    f"{sum(counts)} images stand in {runs} places of the prompts, side by side, where the model takes "
                    "them for one; use a chat template that sets marks around each image"
                )
            encoded[self.pairing.types] = marked
        return {**encoded, **{name: value for name, value in features.items() if name not in self.pairing.unused}}

    def _expand(self, texts: Sequence[str], features: Mapping[str, Any]) -> list[str]:
        index = 0
        expanded = []
        for text in texts:
            before, *rest = text.split(self.image_token)
            for after in rest:
                before += self.pairing.expand(self, features, index) + after
                index += 1
            expanded.append(before)
        return expanded


def image_token_id(config: Any) -> int | None:
    """The id that marks an image in a prompt, by either of the names configs have for it."""
    found = getattr(config, "image_token_id", None)
    return getattr(config, "image_token_index", None) if found is None else found
