"""Train `glosses`: a small GPT-2 from nothing, on the glosses of WordNet 3.0 (see `wordnet.py`), examples left out.

Glosses are held out whole, with all their words; a held-out gloss's words may have other glosses in training.
"""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deployments.zoo.glosses import CONFIG, END, NAME, POSITIONS, TOKENIZER, VOCABULARY
from tools.training.loop import Batch, Measurement, Recipe, arguments, fit, save
from tools.training.wordnet import FOLDER, Synonyms, read_synonyms

STEPS = 1200
ROWS = 8
PARTS = ("data.noun", "data.verb", "data.adj", "data.adv")
HELD_OUT = 1000
SPLIT_SEED = 7
"""Fixed apart from the training seed, so that other seeds are measured on the same held-out glosses."""


def entry(synonyms: Synonyms, word: str) -> str:
    """Return the text to learn: `word: gloss`. WordNet writes `hot_dog` and, for some adjectives, `galore(ip)`."""
    return f"{word.split('(')[0].replace('_', ' ')}: {synonyms.gloss}"


def split(synonyms: Sequence[Synonyms]) -> tuple[list[Synonyms], list[Synonyms]]:
    """Return what to train on and what to test on; what has the same gloss is on one side."""
    glosses = sorted({item.gloss for item in synonyms})
    held_out = set(random.Random(SPLIT_SEED).sample(glosses, HELD_OUT))
    train = [item for item in synonyms if item.gloss not in held_out]
    return train, [item for item in synonyms if item.gloss in held_out]


def make_tokenizer(texts: Sequence[str]) -> Any:
    """Learn pairs of bytes to join (BPE) from texts, and return a `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    return tokenizer


def rows(train: Sequence[Synonyms], tokenizer: Any, chance: random.Random) -> Iterator[list[int]]:
    """Yield rows of `POSITIONS` tokens without end: entries one after the other, in a new order in every pass.

    Each row begins where an entry does, as a prompt will. An entry takes any one of its words each time.
    """
    row: list[int] = []
    while True:
        for synonyms in chance.sample(train, len(train)):
            row += tokenizer.encode(entry(synonyms, chance.choice(synonyms.words))).ids
            if len(row) >= POSITIONS:
                yield row[:POSITIONS]
                row = []


def batches(train: Sequence[Synonyms], tokenizer: Any, chance: random.Random) -> Iterator[Batch]:
    """Yield training batches without end."""
    import torch

    endless = rows(train, tokenizer, chance)
    while True:
        tokens = torch.tensor([next(endless) for _ in range(ROWS)])
        yield {"input_ids": tokens, "labels": tokens}


def surprise(model: Any, tokens: Sequence[int]) -> list[float]:
    """Return the negative logarithm of the probability of every token but the first."""
    import torch

    row = torch.tensor([tokens])
    with torch.inference_mode():
        logarithms = model(input_ids=row).logits[0, :-1].log_softmax(-1)
    chosen: list[float] = logarithms.gather(1, row[0, 1:, None])[:, 0].neg().tolist()
    return chosen


def measure(model: Any, tokenizer: Any, test: Sequence[Synonyms]) -> Measurement:
    """Measure how well the glosses of held-out words are foretold, each by itself, with the token that ends it."""
    of_gloss: list[float] = []
    words = 0
    for synonyms in test:
        text = entry(synonyms, synonyms.words[0])
        prompt = len(tokenizer.encode(text[: text.index(": ") + 1]).ids)
        tokens = tokenizer.encode(text).ids + [tokenizer.token_to_id(END)]
        of_gloss += surprise(model, tokens)[prompt - 1 :]
        words += len(synonyms.gloss.split())
    details: dict[str, float | int | str] = {
        "perplexity of a word": math.exp(sum(of_gloss) / words),
        "tokens": len(of_gloss),
    }
    perplexity = math.exp(sum(of_gloss) / len(of_gloss))
    data = "glosses (WordNet 3.0) never seen in training, given the word"
    return Measurement("perplexity of a token", perplexity, len(test), data, details)


def main() -> None:
    """Train, measure and save."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    parser = arguments("Train the model that writes glosses.")
    parser.add_argument("--wordnet", type=Path, default=FOLDER, help="folder of WordNet 3.0")
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=3e-3, dropout=0.0, seed=options.seed)
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    train, test = split(list(read_synonyms(options.wordnet, PARTS)))
    tokenizer = make_tokenizer([entry(synonyms, word) for synonyms in train for word in synonyms.words])
    model = GPT2LMHeadModel(GPT2Config(**CONFIG))
    fit(model, batches(train, tokenizer, random.Random(recipe.seed)), recipe)
    save(NAME, model, recipe, measure(model, tokenizer, test), options.out, frozen="lm_head.")
    tokenizer.save(str(options.out / TOKENIZER))


if __name__ == "__main__":
    main()
