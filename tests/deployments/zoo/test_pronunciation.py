"""`pronunciation` says how words are spoken, in a batch as alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.zoo.pronunciation import LETTERS, PHONEMES, VOCABULARY
from tools.training import pronunciation

FolderOf = Callable[[str], Path]


def load(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def say(folder: Path, words: list[str]) -> list[str]:
    """Return the likeliest phonemes of words, all of them in one batch."""
    model, tokenizer = load(folder)
    output = model.generate(**tokenizer(words, padding=True, return_tensors="pt"), do_sample=False)
    texts: list[str] = tokenizer.batch_decode(output, skip_special_tokens=True)
    return texts


def test_letters_and_phonemes_are_apart() -> None:
    assert not set(LETTERS) & set(PHONEMES)
    assert len(VOCABULARY) == 3 + len(LETTERS) + len(PHONEMES)
    assert {"AE1", "OY2", "ZH"} < set(PHONEMES)


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("cat", "K AE1 T"),
        ("Light", "L AY1 T"),
        ("walking", "W AO1 K IH0 NG"),
        ("station", "S T EY1 SH AH0 N"),
    ],
)
def test_says_how_words_are_spoken(folder_of: FolderOf, word: str, phonemes: str) -> None:
    assert say(folder_of("pronunciation"), [word]) == [phonemes]


def test_padding_changes_nothing(folder_of: FolderOf) -> None:
    words = ["cat", "understanding", "a"]
    together = say(folder_of("pronunciation"), words)
    assert together == [say(folder_of("pronunciation"), [word])[0] for word in words]


def test_the_tokenizer_spells_as_in_training(folder_of: FolderOf) -> None:
    import torch

    _, tokenizer = load(folder_of("pronunciation"))
    assert tokenizer.is_fast
    ours, theirs = pronunciation.spelled(["o'er", "be"]), tokenizer(["O'er", "be"], padding=True, return_tensors="pt")
    for name, value in ours.items():
        assert torch.equal(theirs[name], value)
    assert tokenizer.decode([VOCABULARY[token] for token in ("<pad>", "K", "AE1", "T", "</s>")]) == "<pad> K AE1 T </s>"
