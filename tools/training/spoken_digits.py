"""Train `spoken-digits-ctc`: a small wav2vec 2.0 writes down digits that are read out, letter by letter.

Data: utterances of espeak-ng (see `speech.py`; `apt-get install espeak-ng`). Measured on speakers never heard in
training, each utterance by itself, so nothing is padded.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deployments.zoo.spoken import BODY, DIGITS, FEATURES, LETTERS
from tools.training.loop import Batch, Measurement, Recipe, arguments, fit, predict, save, shuffled_forever
from tools.training.speech import (
    ACCENTS,
    HELD_OUT_ACCENT,
    HELD_OUT_SPEAKERS,
    TRAINING_SPEAKERS,
    Utterance,
    record,
    vary,
)

STEPS = 2400
FIRST_STEPS = 300
LONGEST = 5
RECORDED = 4500
TESTED = 500
TEST_SEED = 1001
SIZE = 16
SINGLE_WORDS = 0.06
"""Share of the steps, at the beginning, in which every utterance is one word, which is easier to learn from."""


def features(sounds: Sequence[np.ndarray]) -> Batch:
    """Return padded `input_values` [batch, samples] and their `attention_mask`, from the model's feature extractor."""
    from transformers import Wav2Vec2FeatureExtractor

    settings = {name: value for name, value in FEATURES.items() if name != "feature_extractor_type"}
    extractor = Wav2Vec2FeatureExtractor(**settings)
    wide = [sound.astype(np.float32) for sound in sounds]
    return dict(extractor(wide, sampling_rate=extractor.sampling_rate, padding=True, return_tensors="pt"))


def spell(words: Sequence[str]) -> list[int]:
    """Return the numbers of the letters of words, `|` between them."""
    return [LETTERS.index(letter) for letter in "|".join(words)]


def read(logits: Any) -> list[str]:
    """Read words from logits [frames, letters]: the best of each frame, repetitions and blanks taken out."""
    best = logits.argmax(-1).tolist()
    kept = [letter for letter, before in zip(best, [0, *best], strict=False) if letter not in (before, 0)]
    return "".join(LETTERS[letter] for letter in kept).replace("|", " ").split()


def batches(utterances: list[Utterance], steps: int, chance: random.Random) -> Iterator[Batch]:
    """Yield training batches without end, of utterances that are about equally long, each varied anew."""
    import torch

    single = [utterance for utterance in utterances if len(utterance.words) == 1]
    for step in range(steps):
        pool = single if step < SINGLE_WORDS * steps else utterances
        around = sorted(chance.sample(pool, min(len(pool), SIZE * 8)), key=lambda item: len(item.samples))
        start = chance.randrange(len(around) - SIZE + 1)
        chosen = around[start : start + SIZE]
        spelled = [spell(item.words) for item in chosen]
        widest = max(map(len, spelled))
        labels = torch.tensor([letters + [-100] * (widest - len(letters)) for letters in spelled])
        yield {**features([vary(item.samples, chance) for item in chosen]), "labels": labels}


def single_words(utterances: list[Utterance], chance: random.Random) -> Iterator[Batch]:
    """Yield batches of 32 utterances of one word without end, labelled with the digit itself, each varied anew."""
    import torch

    single = [utterance for utterance in utterances if len(utterance.words) == 1]
    for chosen in shuffled_forever(single, 32, chance):
        labels = torch.tensor([DIGITS.index(item.words[0]) for item in chosen])
        yield {**features([vary(item.samples, chance) for item in chosen]), "labels": labels}


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return how many words must be put in, taken out or exchanged to turn what was heard into what was said."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row = row, [number]
        for index, other in enumerate(heard):
            row.append(min(before[index + 1] + 1, row[index] + 1, before[index] + (word != other)))
    return row[-1]


def listen(model: Any, utterances: Sequence[Utterance]) -> tuple[float, float]:
    """Return the share of utterances written down exactly, and the word error rate over all of them."""
    alone = (features([utterance.samples]) for utterance in utterances)
    heard = predict(model, alone, lambda output: [read(output.logits[0])])
    exact = sum(tuple(words) == utterance.words for words, utterance in zip(heard, utterances, strict=True))
    wrong = sum(errors(utterance.words, words) for words, utterance in zip(heard, utterances, strict=True))
    return exact / len(utterances), wrong / sum(len(utterance.words) for utterance in utterances)


def measure(model: Any) -> Measurement:
    """Measure on unheard speakers with heard accents, and on what else may differ from training."""
    chance = random.Random(TEST_SEED)
    unheard = record(TESTED, LONGEST, HELD_OUT_SPEAKERS, ACCENTS, chance)
    scottish = record(TESTED, LONGEST, HELD_OUT_SPEAKERS, [HELD_OUT_ACCENT], chance)
    noisy = [Utterance(item.words, item.voice, vary(item.samples, chance)) for item in unheard]
    known = record(TESTED, LONGEST, TRAINING_SPEAKERS, ACCENTS, chance)
    exact, wrong = listen(model, unheard)
    accent_exact, accent_wrong = listen(model, scottish)
    details: dict[str, float | int | str] = {
        "word error rate": wrong,
        "exact match with an accent unheard too": accent_exact,
        "word error rate with an accent unheard too": accent_wrong,
        "exact match with noise and another speed": listen(model, noisy)[0],
        "exact match of speakers heard in training": listen(model, known)[0],
        "held-out speakers": len(HELD_OUT_SPEAKERS),
    }
    data = f"espeak-ng utterances of 1 to {LONGEST} digits by speakers never heard in training"
    return Measurement("exact match", exact, TESTED, data, details)


def main() -> None:
    """Record, train, measure and save."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification

    options = arguments("Train the model that writes down spoken digits.").parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=2e-3, dropout=0.05, seed=options.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    chance = random.Random(recipe.seed)
    utterances = record(RECORDED, LONGEST, TRAINING_SPEAKERS, ACCENTS, chance)
    utterances += record(RECORDED // 4, 1, TRAINING_SPEAKERS, ACCENTS, chance)
    config = Wav2Vec2Config(
        **BODY, hidden_dropout=recipe.dropout, attention_dropout=recipe.dropout, num_labels=len(DIGITS)
    )
    # CTC alone spends a long time writing nothing at all; a body that already tells words apart is past that.
    first, model = Wav2Vec2ForSequenceClassification(config), Wav2Vec2ForCTC(config)
    fit(first, single_words(utterances, chance), replace(recipe, steps=FIRST_STEPS))
    model.wav2vec2 = first.wav2vec2
    fit(model, batches(utterances, recipe.steps, chance), recipe)
    save("spoken-digits-ctc", model, recipe, measure(model), options.out)


if __name__ == "__main__":
    main()
