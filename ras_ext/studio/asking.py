"""One request on the Try tab: judged, answered with the defence and without, and why; told as it comes about."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from PIL import Image
from transformers import PreTrainedTokenizerBase, TextStreamer

from ras_ext.conversation import Request
from ras_ext.defenses.undefended import Undefended
from ras_ext.errors import InputError
from ras_ext.explaining import Explanation, FirstWords, explain, first_words
from ras_ext.guard import GuardedAnswer
from ras_ext.risk import Risk
from ras_ext.studio.desk import Desk
from ras_ext.vectors import SteeringVectors

BASELINE = 0.5  # the risk of a request whose similarity is S_base


@dataclass(frozen=True)
class Question:
    """What a visitor asks of which model under which pack.

    Attributes:
        schedule: a schedule of the pack, None for its own.
        beside: whether the undefended model answers too.
        harmful: known to be so, as a labelled example is.
    """

    model: str
    pack: str
    text: str
    image: Image.Image | None = None
    schedule: str | None = None
    tokens: int = 64
    beside: bool = True
    harmful: bool = False


@dataclass(frozen=True)
class Told:
    """All that is known so far of one request.

    Attributes:
        stage: what is going on: ``waiting``, ``judging``, ``defended``, ``undefended``, ``done``.
        ahead: how many were waiting for the model when this request came.
        vectors: what it is judged with; None before the model is open.
        defended, undefended: the answers as far as they are written.
        answer: the defended answer with its receipt, once it is complete.
        plain_tokens: length of the undefended answer, once it is complete.
        seconds: from the question to the first word of the defended answer.
    """

    question: Question
    stage: str = "waiting"
    ahead: int = 0
    vectors: SteeringVectors | None = None
    risk: Risk | None = None
    defended: str = ""
    undefended: str = ""
    answer: GuardedAnswer | None = None
    plain_tokens: int | None = None
    words: FirstWords | None = None
    seconds: float | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def hidden(self) -> bool:
        """Whether the undefended answer may be harmful, so that it is shown only to who asks for it."""
        return self.question.harmful or self.risk is None or not self.risk.risk < BASELINE


class _Written(TextStreamer):
    """Tells the whole text so far with every piece that is final."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, tell: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._text, self._tell = "", tell

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self._text += text
        self._tell(self._text.strip())


def ask(desk: Desk, question: Question, tell: Callable[[Told], None]) -> None:
    """Answers a question, in turn with others; between its stages those who wait go first.

    Raises:
        InputError: the question is empty.
        ModelError, PackError: the model or the pack cannot be used.
    """
    told = Told(question)
    request = Request.of(question.image, question.text)
    opened = desk.open(question.model)

    def now(**known: object) -> None:
        nonlocal told
        told = replace(told, **known)  # type: ignore[arg-type]
        tell(told)

    def written(text: str) -> None:
        if text and told.seconds is None:
            now(seconds=time.perf_counter() - told.began)
        now(defended=text)

    now(ahead=opened.turns.waiting)
    with opened.turns:
        guard = desk.guard(opened, question.pack, question.schedule)
        now(stage="judging", vectors=guard.vectors)
        now(risk=guard.assess_batch([request])[0], stage="defended")
        # It remembers what it found just now, and does not judge twice.
        streamer = _Written(opened.processor.tokenizer, written)
        settings = {"max_new_tokens": question.tokens, "do_sample": False}
        answer = guard.generate_batch([request], streamer=streamer, **settings)[0]
        now(answer=answer, defended=answer.text, stage="undefended")
        if question.beside:
            opened.turns.give_way()
            streamer = _Written(opened.processor.tokenizer, lambda text: now(undefended=text))
            plain = Undefended(opened.model, opened.processor).answer([request], streamer=streamer, **settings)[0]
            now(undefended=plain.text, plain_tokens=plain.tokens)
        opened.turns.give_way()
        now(words=first_words(guard, request, answer.visual_context), stage="done")


def explained(desk: Desk, question: Question) -> Explanation:
    """Where in the question's picture the model looks and the risk is. Raises InputError without a picture."""
    if question.image is None:
        raise InputError("there is no picture to explain; ask with one")
    opened = desk.open(question.model)
    with opened.turns:
        return explain(desk.guard(opened, question.pack, question.schedule), question.image, question.text)
