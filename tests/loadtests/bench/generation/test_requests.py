import itertools
from collections import Counter
from statistics import mean, median, pstdev, pvariance

from loadtests.bench.generation.requests import (
    MIN_TOKENS,
    NEW_MEDIAN,
    PROMPT_MEDIAN,
    UNKNOWN,
    VOCABULARY,
    arrivals,
    backlog,
    mean_lengths,
    word,
)


def test_the_same_seed_gives_the_same_requests() -> None:
    assert arrivals(5, 10, 64, seed=1) == arrivals(5, 10, 64, seed=1)
    assert arrivals(5, 10, 64, seed=1) != arrivals(5, 10, 64, seed=2)


def test_arrivals_are_in_order_and_within_their_time() -> None:
    times = [each.due for each in arrivals(20, 30, 64, seed=3)]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 30


def test_arrivals_are_a_poisson_process() -> None:
    """As many as asked for, and as irregular: their gaps vary as much as they are long, and counts as their mean."""
    times = [each.due for each in arrivals(20, 500, 16, seed=4)]
    assert abs(len(times) / (20 * 500) - 1) < 0.05
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert abs(pstdev(gaps) / mean(gaps) - 1) < 0.1
    counts = Counter(map(int, times))
    each_second = [counts[second] for second in range(500)]
    assert abs(pvariance(each_second) / mean(each_second) - 1) < 0.2


def test_a_rate_changes_arrivals_and_not_the_requests() -> None:
    slow, fast = arrivals(5, 10, 256, seed=5), arrivals(10, 10, 256, seed=5)
    both = list(zip(slow, fast, strict=False))
    assert all((a.ids, a.new) == (b.ids, b.new) for a, b in both)
    assert all(a.due > b.due for a, b in both)


def test_lengths_are_log_normal_between_their_bounds() -> None:
    drawn = backlog(2000, max_tokens=256, seed=6)
    prompts, new = [len(each.ids) for each in drawn], [each.new for each in drawn]
    for lengths, wanted in ((prompts, PROMPT_MEDIAN), (new, NEW_MEDIAN)):
        assert min(lengths) == MIN_TOKENS
        assert max(lengths) == 256
        assert abs(median(lengths) / wanted - 1) < 0.1
        assert mean(lengths) > 1.2 * median(lengths)


def test_everything_of_a_backlog_is_due_at_once() -> None:
    assert {each.due for each in backlog(5, max_tokens=64, seed=0)} == {0.0}


def test_mean_lengths_are_those_of_what_is_drawn() -> None:
    prompt, new = mean_lengths(64)
    drawn = backlog(2000, max_tokens=64, seed=9)
    assert abs(mean(len(each.ids) for each in drawn) / prompt - 1) < 0.05
    assert abs(mean(each.new for each in drawn) / new - 1) < 0.05


def test_words_are_all_different_and_a_prompt_has_as_many_as_tokens() -> None:
    assert len({word(token) for token in range(VOCABULARY)}) == VOCABULARY
    for each in backlog(20, max_tokens=64, seed=7):
        assert len(each.text.split()) == len(each.ids)
        assert min(each.ids) > UNKNOWN
