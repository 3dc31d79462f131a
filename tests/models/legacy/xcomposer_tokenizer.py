"""A tokenizer with the marks of InternLM-XComposer2.5's: words, and a token that begins a text."""

from __future__ import annotations

from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

MARKS = ["<unk>", "<s>", "</s>", "[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"]


def tokenizer(marks: list[str] = MARKS) -> PreTrainedTokenizerFast:
    """Words ``w0``, ``w1``, … and line ends; each word of a prompt is a token."""
    words = [*marks, "\n", "user", "assistant", "system", ";", "<ImageHere>", *(f"Image{n}" for n in range(1, 10))]
    words += [f"w{n}" for n in range(60)]
    core = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\n|;"), "isolated"), pre_tokenizers.Split(Regex(" +"), "removed")]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", words.index("<s>"))]
    )
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
