"""Texts of log-normal length."""

import json
import random

from loadtests.traffic.log_normal import LogNormal

MAX_WORDS = 200
WORDS = LogNormal(median=20, spread=0.9, min=1, max=MAX_WORDS)  # one text in a hundred has more than 160 words
SEED = 20

_WORDS = (
    "the river rose in night and old bridge by mill was gone before anyone village woke to see it so they sent a boy "
    "on grey horse next town with letter that asked for timber rope forty men who could work until spring came back "
    "over hills where summer markets sell bread fish wool salt glass paper iron or silver while children play music "
    "near small church under tall trees because people like company after long days of hard labour at farm"
).split()


def sample_texts(count: int, seed: int = SEED) -> list[str]:
    """The same seed gives the same texts."""
    rng = random.Random(seed)
    lengths = [WORDS.count(rng) for _ in range(count)]
    return [prose(rng, length) for length in lengths]


def prose(rng: random.Random, words: int) -> str:
    """A text of this number of words."""
    return " ".join(rng.choices(_WORDS, k=words))


def request_bodies(texts: list[str]) -> list[str]:
    return [json.dumps({"inputs": text}) for text in texts]
