"""Train `spoken-digit`: a head that says which digit is spoken, on the frozen body of `spoken-digits-ctc`.

Data: utterances of one word by espeak-ng (see `speech.py`; `apt-get install espeak-ng`). Measured on speakers never
heard in training of either, each utterance by itself, so nothing is padded.
"""

import random
from collections.abc import Sequence
from typing import Any

from safetensors.torch import load_file

from deployments.zoo.spoken import BODY, DIGITS, ONE_DIGIT, SHARED
from deployments.zoo.trained import TRAINED
from tools.training.loop import Measurement, Recipe, arguments, fit, predict, save
from tools.training.speech import (
    ACCENTS,
    HELD_OUT_ACCENT,
    HELD_OUT_SPEAKERS,
    TRAINING_SPEAKERS,
    Utterance,
    record,
    vary,
)
from tools.training.spoken_digits import features, single_words

STEPS = 250
RECORDED = 3000
TESTED = 1000
TEST_SEED = 2002


def accuracy(model: Any, utterances: Sequence[Utterance]) -> float:
    """Return the share of utterances of which the digit is recognised."""
    alone = (features([utterance.samples]) for utterance in utterances)
    heard: list[int] = predict(model, alone, lambda output: output.logits.argmax(-1).tolist())
    said = [DIGITS.index(utterance.words[0]) for utterance in utterances]
    return sum(one == other for one, other in zip(heard, said, strict=True)) / len(utterances)


def measure(model: Any) -> Measurement:
    """Measure on unheard speakers with heard accents, and on what else may differ from training."""
    chance = random.Random(TEST_SEED)
    unheard = record(TESTED, 1, HELD_OUT_SPEAKERS, ACCENTS, chance)
    scottish = record(TESTED, 1, HELD_OUT_SPEAKERS, [HELD_OUT_ACCENT], chance)
    noisy = [Utterance(item.words, item.voice, vary(item.samples, chance)) for item in unheard]
    details: dict[str, float | int | str] = {
        "accuracy with an accent unheard too": accuracy(model, scottish),
        "accuracy with noise and another speed": accuracy(model, noisy),
        "chance": 1 / len(DIGITS),
    }
    data = "espeak-ng utterances of one digit by speakers never heard in training"
    return Measurement("accuracy", accuracy(model, unheard), TESTED, data, details)


def main() -> None:
    """Record, train, measure and save."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    parser = arguments("Train the model that says which digit is spoken.")
    parser.add_argument("--body", default=TRAINED / f"{SHARED}.safetensors", help="weights of spoken-digits-ctc")
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=5e-3, dropout=0.0, seed=options.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    config = Wav2Vec2Config(**BODY, **ONE_DIGIT, hidden_dropout=recipe.dropout, attention_dropout=recipe.dropout)
    model = Wav2Vec2ForSequenceClassification(config)
    stored = {name.removeprefix("wav2vec2."): value.float() for name, value in load_file(options.body).items()}
    model.wav2vec2.load_state_dict({name: value for name, value in stored.items() if not name.startswith("lm_head.")})
    model.wav2vec2.requires_grad_(False)
    chance = random.Random(recipe.seed)
    utterances = record(RECORDED, 1, TRAINING_SPEAKERS, ACCENTS, chance)
    fit(model, single_words(utterances, chance), recipe)
    save("spoken-digit", model, recipe, measure(model), options.out, frozen="wav2vec2.")


if __name__ == "__main__":
    main()
