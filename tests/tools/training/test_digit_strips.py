"""The training data of `digit-strips`: how its pictures are made."""

import random

import numpy as np
import pytest

from deployments.zoo.digit_strips import HEIGHT, LONGEST, WIDTH
from tools.training import strips


@pytest.fixture
def digits() -> strips.Digits:
    """One picture of each digit: as many rows of ink as the digit says, ten at most."""
    table = np.zeros((10, 65))
    for digit in range(10):
        table[digit, : 6 * digit + 4] = 16
        table[digit, 64] = digit
    return strips.sort(table)


def test_pictures_are_sorted_by_digit(digits: strips.Digits) -> None:
    assert sorted(digits) == list(range(10))
    assert digits[3][0].shape == (8, 8)
    assert digits[3][0].sum() == 22


@pytest.mark.parametrize("varied", [False, True])
def test_strips_are_of_one_size_and_the_same_for_the_same_seed(digits: strips.Digits, varied: bool) -> None:
    one, other = ([strips.strip(digits, random.Random(seed), varied=varied) for seed in range(50)] for _ in range(2))
    for (picture, text), (same, again) in zip(one, other, strict=True):
        assert picture.shape == (HEIGHT, WIDTH)
        assert picture.dtype == np.uint8
        assert 1 <= len(text) <= LONGEST
        assert text == again
        np.testing.assert_array_equal(picture, same)
    assert {len(text) for _, text in one} == set(range(1, LONGEST + 1))


def test_half_of_the_strips_are_dark_on_light(digits: strips.Digits) -> None:
    corners = [strips.strip(digits, random.Random(seed), varied=False)[0][-1, -1] for seed in range(200)]
    assert 60 < sum(corner > 127 for corner in corners) < 140
