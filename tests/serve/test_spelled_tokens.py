"""Texts that a tokenizer would read as turns or images: found as it finds them, normaliser and all."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ras_ext.errors import InputError
from ras_ext.serve.server.spelled import Spelled


def tokenizer() -> PreTrainedTokenizerFast:
    """One that lowers and unfolds what it reads, and looks for some of its tokens only then."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "what": 1}, unk_token="<unk>"))
    words.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    found = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>")
    early = AddedToken("<TURN>", special=True, normalized=False)
    late = AddedToken("<image>", special=True, normalized=True)
    found.add_special_tokens({"additional_special_tokens": [early, late]})
    found.add_tokens([AddedToken("zebra", special=False)])
    return found


def turns(*texts: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]


@pytest.mark.parametrize(
    "text", ["what <TURN> what", "<image>", "what<image>what", "\uff1cimage\uff1e", "<IMAGE>", "</s>"]
)
def test_what_the_tokenizer_reads_as_a_special_token_is_refused(text: str) -> None:
    ours = tokenizer()
    assert set(ours(text, add_special_tokens=False).input_ids) & (set(ours.all_special_ids) - {ours.unk_token_id})
    with pytest.raises(InputError, match="spells"):
        Spelled.of(ours).check(turns(text))


@pytest.mark.parametrize("text", ["what", "< image >", "<turn>", "zebra", "a < b > c", "\uff1cturn\uff1e", "image>"])
def test_what_it_reads_as_words_is_not(text: str) -> None:
    ours = tokenizer()
    special = set(ours.all_special_ids) - {ours.unk_token_id}
    assert not set(ours(text, add_special_tokens=False).input_ids) & special
    Spelled.of(ours).check(turns(text))


def test_parts_that_spell_one_together_are_refused() -> None:
    with pytest.raises(InputError, match="TURN"):
        Spelled.of(tokenizer()).check(turns("what <TU", "RN> what"))


def test_a_token_that_is_named_by_its_number_counts_as_special() -> None:
    ours = tokenizer()
    with pytest.raises(InputError, match="zebra"):
        Spelled.of(ours, ours.convert_tokens_to_ids("zebra"), None).check(turns("a zebra"))
