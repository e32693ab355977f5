"""Guesses from a text's own n-grams."""

from deployments.generation.paged_attention.prompt_lookup import PromptLookup


def test_what_followed_the_last_three_tokens_before() -> None:
    assert PromptLookup(4).guess([1, 2, 3, 4, 5, 6, 7, 1, 2, 3], 9) == [4, 5, 6, 7]


def test_the_latest_occurrence_counts_and_two_tokens_suffice() -> None:
    assert PromptLookup(2).guess([1, 2, 8, 1, 2, 9, 5, 1, 2], 9) == [9, 5]


def test_nothing_where_nothing_was_before() -> None:
    lookup = PromptLookup(4)
    assert lookup.guess([1, 2, 3], 9) == []
    assert lookup.guess([1], 9) == []


def test_a_text_that_grows() -> None:
    lookup, ids = PromptLookup(3), [1, 2, 3, 4]
    assert lookup.guess(ids, 9) == []
    ids += [1, 2]
    assert lookup.guess(ids, 9) == [3, 4, 1]
    ids += [3, 4]
    assert lookup.guess(ids, 2) == [1, 2]
    assert lookup.guess(ids, 0) == []


def test_a_text_that_repeats_itself_goes_on_to_do_so() -> None:
    assert PromptLookup(7).guess([1, 2, 3, 1, 2, 3, 1, 2], 9) == [3, 1, 2, 3, 1, 2, 3]


def test_a_text_that_repeats_one_token() -> None:
    assert PromptLookup(5).guess([7, 7, 7, 7], 9) == [7] * 5
