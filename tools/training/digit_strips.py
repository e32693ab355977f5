"""Train `digit-strips`: a small ViT with a TrOCR decoder reads strips of one to five handwritten digits.

Data: strips put together anew each time (see `strips.py`). Measured on digits that no training strip contains.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deployments.zoo.digit_strips import (
    DECODER,
    ENCODER,
    END,
    LONGEST,
    NAME,
    PAD,
    PREPROCESSING,
    SETTINGS,
    START,
    TOKENIZER,
    VOCABULARY,
)
from tools.training.loop import Batch, Measurement, Recipe, arguments, fit, save
from tools.training.strips import Digits, read_digits, strip

STEPS = 3000
SIZE = 48
TESTED = 1000
TEST_SEED = 3003


def make_tokenizer() -> Any:
    """Return a `tokenizers.Tokenizer` that has a token for every digit and writes them without spaces."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token=PAD))
    tokenizer.add_special_tokens([PAD, START, END])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, VOCABULARY[END])]
    )
    return tokenizer


def pixels(strips: Sequence[np.ndarray]) -> Any:
    """Return `pixel_values` [strips, 3, height, width] as the folder's image processor makes them."""
    import torch

    mean, std = PREPROCESSING["image_mean"][0], PREPROCESSING["image_std"][0]
    scaled = (np.stack(strips).astype(np.float32) * PREPROCESSING["rescale_factor"] - mean) / std
    return torch.from_numpy(scaled)[:, None].expand(-1, 3, -1, -1)


def batches(digits: Digits, chance: random.Random) -> Iterator[Batch]:
    """Yield training batches without end, every strip a new one."""
    import torch

    while True:
        strips, texts = zip(*(strip(digits, chance, varied=True) for _ in range(SIZE)), strict=True)
        labels = [[*(VOCABULARY[digit] for digit in text), VOCABULARY[END]] for text in texts]
        labels = [row + [-100] * (LONGEST + 1 - len(row)) for row in labels]
        yield {"pixel_values": pixels(strips), "labels": torch.tensor(labels)}


def read(model: Any, strips: Sequence[np.ndarray]) -> list[str]:
    """Return what the model reads on each strip, the likeliest token at every step."""
    import torch

    tokens = list(VOCABULARY)
    with torch.inference_mode():
        rows = model.generate(pixel_values=pixels(strips), max_new_tokens=LONGEST + 2, do_sample=False).tolist()
    return ["".join(tokens[number] for number in row if tokens[number].isdigit()) for row in rows]


def exact(model: Any, digits: Digits, *, varied: bool) -> tuple[float, list[float]]:
    """Return the share of strips that are read right, of all and of those with one digit, with two ..."""
    chance = random.Random(TEST_SEED)
    strips, texts = zip(*(strip(digits, chance, varied=varied) for _ in range(TESTED)), strict=True)
    right = [written == text for written, text in zip(read(model, strips), texts, strict=True)]
    by_length = []
    for length in range(1, LONGEST + 1):
        chosen = [good for good, text in zip(right, texts, strict=True) if len(text) == length]
        by_length.append(sum(chosen) / len(chosen))
    return sum(right) / TESTED, by_length


def measure(model: Any, test: Digits) -> Measurement:
    """Measure on strips of held-out digits, as they are and varied as in training."""
    whole, by_length = exact(model, test, varied=False)
    details: dict[str, float | int | str] = {
        "exact match of strips with one digit": by_length[0],
        f"exact match of strips with {LONGEST} digits": by_length[-1],
        "exact match of slanted, pale and noisy strips": exact(model, test, varied=True)[0],
    }
    data = f"strips of 1 to {LONGEST} digits (scikit-learn 1.9.1) never seen in training"
    return Measurement("exact match", whole, TESTED, data, details)


def main() -> None:
    """Train, measure and save."""
    import torch
    from transformers import GenerationConfig, VisionEncoderDecoderConfig, VisionEncoderDecoderModel

    options = arguments("Train the model that reads strips of digits.").parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=2e-3, dropout=0.0, seed=options.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    train, test = read_digits()
    numbers = {name: value for name, value in SETTINGS["config.json"].items() if name.endswith("_token_id")}
    config = VisionEncoderDecoderConfig(encoder=ENCODER, decoder=DECODER, tie_word_embeddings=False, **numbers)
    model = VisionEncoderDecoderModel(config)
    model.generation_config = GenerationConfig(**SETTINGS["generation_config.json"])
    fit(model, batches(train, random.Random(recipe.seed)), recipe)
    save(NAME, model, recipe, measure(model, test), options.out, frozen=())
    make_tokenizer().save(str(options.out / TOKENIZER))


if __name__ == "__main__":
    main()
