"""Strips of handwritten digits to train on, put together from the single digits that scikit-learn carries.

They are the 1,797 digits of the test part of E. Alpaydin and C. Kaynak's Optical Recognition of Handwritten Digits (UCI
Machine Learning Repository, CC BY 4.0): 8 x 8 pixels of 0 to 16. The last 360 are held out. scikit-learn is neither
installed nor imported; the file is taken out of its wheel, which is one for Linux on x86-64 and Python 3.11.
"""

import gzip
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deployments.zoo.digit_strips import HEIGHT, LONGEST, WIDTH
from deployments.zoo.package import Package, download, extract

SCIKIT_LEARN = Package(
    name="scikit-learn",
    version="1.9.1",
    sha256="52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    size=9_315_422,
    licence="BSD-3-Clause",
)
FOLDER, FILE = "sklearn/datasets/data", "digits.csv.gz"
HELD_OUT = 360
NARROWEST = 32
"""Pixels of the narrowest strip before it is brought to its width: one digit is stretched to two and a half at most."""

Digits = Mapping[int, Sequence[np.ndarray]]
"""Pictures of each digit, float [8, 8] from 0 (paper) to 1 (ink)."""


def read_digits() -> tuple[Digits, Digits]:
    """Download the digits and return those to train on and those to test on."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(SCIKIT_LEARN, Path(scratch, "package"), lambda stage, fraction: None)
        extract(wheel, FOLDER, (FILE,), Path(scratch), lambda stage, fraction: None)
        with gzip.open(Path(scratch, FILE), "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",")
    return sort(table[:-HELD_OUT]), sort(table[-HELD_OUT:])


def sort(table: np.ndarray) -> Digits:
    """Turn rows of 64 pixels and the digit that they show into pictures by digit."""
    return {digit: [row[:64].reshape(8, 8) / 16 for row in table if row[64] == digit] for digit in range(10)}


def strip(digits: Digits, chance: random.Random, *, varied: bool) -> tuple[np.ndarray, str]:
    """Return a strip, uint8 [HEIGHT, WIDTH], and the digits on it.

    They stand apart, close together, or overlap a little, wherever they have room. Half of the strips are dark on
    light. `varied` ones are also slanted, thicker or thinner, paler and noisy.
    """
    text = "".join(str(chance.randrange(10)) for _ in range(chance.randint(1, LONGEST)))
    pieces = [_draw(chance.choice(digits[int(digit)]), chance, varied) for digit in text]
    lefts, right = [], chance.randint(0, 6)
    for piece in pieces:
        lefts.append(right)
        right += piece.shape[1] + chance.randint(-2, 5)
    wide = np.zeros((HEIGHT, max(right, NARROWEST) + chance.randint(0, 8)))
    for left, piece in zip(lefts, pieces, strict=True):
        place = wide[:, left : left + piece.shape[1]]
        np.maximum(place, piece[:, : place.shape[1]], out=place)
    if varied:
        noise = np.random.default_rng(chance.randrange(1 << 32)).standard_normal(wide.shape)
        wide = np.clip(wide * chance.uniform(0.5, 1) + chance.uniform(0, 0.1) * noise, 0, 1)
    if chance.random() < 0.5:
        wide = 1 - wide
    picture = Image.fromarray((wide * 255).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    return np.asarray(picture), text


def _draw(digit: np.ndarray, chance: random.Random, varied: bool) -> np.ndarray:
    """Return one digit as float [HEIGHT, about HEIGHT]."""
    picture = Image.fromarray((digit * 255).astype(np.uint8))
    picture = picture.resize((chance.randint(13, 17) if varied else HEIGHT, HEIGHT), Image.Resampling.BILINEAR)
    if varied:
        slant, shift = chance.uniform(-0.2, 0.2), chance.uniform(-1.5, 1.5)
        matrix = (1, slant, -slant * HEIGHT / 2, 0, chance.uniform(0.9, 1.1), shift)
        picture = picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    inked: np.ndarray = (np.asarray(picture) / 255) ** (chance.uniform(0.6, 1.6) if varied else 1.0)
    return inked
