"""Texts of log-normal length: what people send, many short ones and a few long ones. The same for everybody."""

import json
import math
import random

MEDIAN_WORDS = 20
MOST_WORDS = 200
SPREAD = 0.9  # standard deviation of the logarithm: one text in a hundred has over 160 words
SEED = 20

_PROSE = (
    "the river rose in night and old bridge by mill was gone before anyone village woke to see it so they sent a boy "
    "on grey horse next town with letter that asked for timber rope forty men who could work until spring came back "
    "over hills where summer markets sell bread fish wool salt glass paper iron or silver while children play music "
    "near small church under tall trees because people like company after long days of hard labour at farm"
)


def sample_texts(count: int, seed: int = SEED) -> list[str]:
    """So many texts, the same ones for the same seed."""
    draw = random.Random(seed)
    words = _PROSE.split()
    return [" ".join(draw.choices(words, k=length)) for length in _lengths(count, draw)]


def request_bodies(texts: list[str]) -> list[str]:
    return [json.dumps({"inputs": text}) for text in texts]


def _lengths(count: int, draw: random.Random) -> list[int]:
    """Words of each text."""
    drawn = (round(draw.lognormvariate(math.log(MEDIAN_WORDS), SPREAD)) for _ in range(count))
    return [min(max(length, 1), MOST_WORDS) for length in drawn]
