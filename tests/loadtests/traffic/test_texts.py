import json
from statistics import median

import pytest

from loadtests.traffic.texts import MAX_WORDS, request_bodies, sample_texts


@pytest.fixture(scope="module")
def lengths() -> list[int]:
    return [len(text.split()) for text in sample_texts(512)]


def test_the_same_seed_gives_the_same_texts() -> None:
    assert sample_texts(20) == sample_texts(20)
    assert sample_texts(20, seed=1) != sample_texts(20, seed=2)


def test_the_median_is_twenty_words(lengths: list[int]) -> None:
    assert 18 <= median(lengths) <= 22


def test_no_text_is_empty_or_over_the_limit(lengths: list[int]) -> None:
    assert min(lengths) >= 1
    assert max(lengths) == MAX_WORDS


def test_a_few_long_texts_pull_the_mean_up(lengths: list[int]) -> None:
    assert sum(lengths) / len(lengths) > 1.3 * median(lengths)


def test_bodies_are_what_the_service_reads() -> None:
    assert [json.loads(body) for body in request_bodies(["one", 'with "quotes"'])] == [
        {"inputs": "one"},
        {"inputs": 'with "quotes"'},
    ]
