"""Texts of log-normal length: what people send, many short ones and a few long ones. The same for everybody."""

import json
import random

from loadtests.traffic.log_normal import LogNormal

MOST_WORDS = 200
WORDS = LogNormal(median=20, spread=0.9, least=1, most=MOST_WORDS)  # one text in a hundred has over 160 words
SEED = 20

_WORDS = (
    "the river rose in night and old bridge by mill was gone before anyone village woke to see it so they sent a boy "
    "on grey horse next town with letter that asked for timber rope forty men who could work until spring came back "
    "over hills where summer markets sell bread fish wool salt glass paper iron or silver while children play music "
    "near small church under tall trees because people like company after long days of hard labour at farm"
).split()


def sample_texts(count: int, seed: int = SEED) -> list[str]:
    """So many texts, the same ones for the same seed."""
    draw = random.Random(seed)
    lengths = [WORDS.count(draw) for _ in range(count)]
    return [prose(draw, length) for length in lengths]


def prose(draw: random.Random, words: int) -> str:
    """A text of so many words."""
    return " ".join(draw.choices(_WORDS, k=words))


def request_bodies(texts: list[str]) -> list[str]:
    return [json.dumps({"inputs": text}) for text in texts]
