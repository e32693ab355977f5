"""Train `definitions`: BERT-tiny chooses the word that a dictionary definition belongs to.

Data: the glosses of WordNet 3.0 (see `wordnet.py`). Words are held out, not only definitions: no word of a test
question, right or wrong, is ever a choice in training.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tools.training.wordnet import FOLDER, read_synonyms

STEPS = 2400
LONGEST = 48
CHOICES = 4
HELD_OUT = 1 / 12
SPLIT_SEED = 7
"""Fixed apart from the training seed, so that other seeds are measured on the same held-out words."""


@dataclass(frozen=True)
class Definition:
    """A word and one of its definitions, and the topic of its `Synonyms`.

    `common` says that WordNet's tagged texts use the word at least twice and that it comes first among the words with
    this definition.
    """

    word: str
    text: str
    topic: str
    common: bool


@dataclass(frozen=True)
class Question:
    """A definition with the words to choose from, the right one at `right`."""

    text: str
    words: tuple[str, ...]
    right: int


def read_definitions(wordnet: Path) -> list[Definition]:
    """Read the nouns, verbs and adjectives of one word that have a gloss of 5 to 15 words which does not name them."""
    uses: Counter[str] = Counter()
    for line in (wordnet / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        sense, _, count = line.split()
        uses[sense.split("%")[0]] += int(count)
    definitions = []
    for synonyms in read_synonyms(wordnet, ("data.noun", "data.verb", "data.adj")):
        text = synonyms.gloss
        for rank, word in enumerate(synonyms.words):
            if word.isalpha() and word.islower() and 4 < len(text.split()) < 16 and word not in text:
                definitions.append(Definition(word, text, synonyms.topic, rank == 0 and uses[word] > 1))
    return definitions


def split(definitions: list[Definition]) -> tuple[list[Definition], list[Definition]]:
    """Hold out a twelfth of the common words with all their definitions; return what to train and what to test on.

    A synonym of a held-out word has the same definition, so it is not trained on either.
    """
    words = sorted({definition.word for definition in definitions if definition.common})
    held_out = set(random.Random(SPLIT_SEED).sample(words, int(len(words) * HELD_OUT)))
    test = [definition for definition in definitions if definition.word in held_out]
    texts = {definition.text for definition in test}
    train = [item for item in definitions if item.word not in held_out and item.text not in texts]
    return train, [definition for definition in test if definition.common]


def pose(definition: Definition, words: Sequence[str], chance: random.Random) -> Question:
    """Put a definition's word among three wrong ones drawn from `words`, which may contain it."""
    wrong = [word for word in chance.sample(words, CHOICES) if word != definition.word][: CHOICES - 1]
    right = chance.randrange(CHOICES)
    return Question(definition.text, (*wrong[:right], definition.word, *wrong[right:]), right)


def training_questions(train: list[Definition], chance: random.Random) -> Iterator[list[Question]]:
    """Yield batches of 32 without end, half of common words and half of any words, wrong ones of the same kind."""
    kinds = []
    for definitions in ([item for item in train if item.common], train):
        words = sorted({definition.word for definition in definitions})
        kinds.append((shuffled_forever(definitions, 16, chance), words))
    while True:
        yield [pose(definition, words, chance) for batches, words in kinds for definition in next(batches)]


def encode(tokenizer: Any, questions: list[Question]) -> Batch:
    """Return the model's input: tensors [questions, choices, tokens] of (definition, word) pairs, and the labels."""
    import torch

    texts = [question.text for question in questions for _ in question.words]
    words = [word for question in questions for word in question.words]
    pairs = tokenizer(texts, words, padding=True, truncation="only_first", max_length=LONGEST, return_tensors="pt")
    inputs = {name: value.view(len(questions), CHOICES, -1) for name, value in pairs.items()}
    return {**inputs, "labels": torch.tensor([question.right for question in questions])}


def accuracy(model: Any, tokenizer: Any, questions: list[Question]) -> float:
    """Return the share of questions for which the right word scores highest."""
    batches: Iterator[Batch] = (
        encode(tokenizer, questions[start : start + 64]) for start in range(0, len(questions), 64)
    )
    chosen: list[int] = predict(model, batches, lambda output: output.logits.argmax(-1).tolist())
    return sum(index == question.right for index, question in zip(chosen, questions, strict=True)) / len(questions)


def measure(model: Any, tokenizer: Any, test: list[Definition]) -> Measurement:
    """Measure with wrong words drawn from everywhere, and, which is harder, from the right word's own topic."""
    chance = random.Random(SPLIT_SEED)
    words = sorted({definition.word for definition in test})
    questions = [pose(definition, words, chance) for definition in test]
    topics: dict[str, list[str]] = defaultdict(list)
    for topic, word in sorted({(definition.topic, definition.word) for definition in test}):
        topics[topic].append(word)
    wide = {topic for topic, members in topics.items() if len(members) > 2 * CHOICES}
    close = [pose(definition, topics[definition.topic], chance) for definition in test if definition.topic in wide]
    details: dict[str, float | int | str] = {
        "held-out words": len(words),
        "wrong words from the same topic": accuracy(model, tokenizer, close),
        "chance": 1 / CHOICES,
    }
    data = "definitions (WordNet 3.0) of words never seen in training, four words to choose from"
    return Measurement("accuracy", accuracy(model, tokenizer, questions), len(questions), data, details)


def main() -> None:
    """Train, measure and save."""
    from transformers import AutoModelForMultipleChoice

    parser = arguments("Train the definitions model.")
    parser.add_argument("--wordnet", type=Path, default=FOLDER, help="folder of WordNet 3.0")
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=1.5e-3, dropout=0.0, seed=options.seed)
    train, test = split(read_definitions(options.wordnet))
    model, tokenizer = load_body(AutoModelForMultipleChoice, recipe)
    chance = random.Random(recipe.seed)
    fit(model, (encode(tokenizer, questions) for questions in training_questions(train, chance)), recipe)
    save("definitions", model, recipe, measure(model, tokenizer, test), options.out)


if __name__ == "__main__":
    main()
