"""Scores of transcripts, and the recordings that they are made for."""

import numpy as np
import pytest

from loadtests.bench.speech.benchmark import Measurements, Plan, Result
from loadtests.bench.speech.recordings import RATE, Sentence, Shape, build
from loadtests.bench.speech.report import report
from loadtests.bench.speech.score import Segment, aligned, normalized, score

WORDS = ("mister", "dashwood", "had", "leisure", "he", "was", "young")
STARTS = [(0, 1.0), (4, 9.0)]


def test_a_right_transcript_has_no_errors():
    segments = [Segment(1.2, 5.0, " Mr. Dashwood had leisure."), Segment(8.9, 11.0, " He was young.")]
    got = score(WORDS, STARTS, segments)
    assert (got.lost, got.added, got.wrong, got.word_error_rate) == (0, 0, 0, 0)
    assert got.starts == pytest.approx((0.2, 0.1))
    assert (got.is_ordered, got.empty) == (True, 0)


def test_words_are_lost_added_and_wrong():
    segments = [
        Segment(1.0, 5.0, "Oh, Mister Dashwood had pleasure"),
        Segment(4.0, None, " "),
        Segment(9, 10, "he young"),
    ]
    got = score(WORDS, STARTS, segments)
    assert (got.lost, got.added, got.wrong) == (1, 1, 1)
    assert got.word_error_rate == pytest.approx(3 / 7)
    assert (got.is_ordered, got.empty) == (False, 1)


def test_a_segment_that_begins_before_the_last_ended_is_out_of_order():
    segments = [Segment(1.0, 5.0, "mister dashwood had leisure"), Segment(4.0, 6.0, "he was young")]
    assert not score(WORDS, STARTS, segments).is_ordered


def test_a_segment_within_a_sentence_has_no_true_start():
    assert score(WORDS, STARTS, [Segment(30.0, 31.0, "had leisure")]).starts == ()


def test_alignment_and_spelling():
    assert aligned("abc", "ac") == [(0, 0), (1, None), (2, 1)]
    assert normalized(" It's cold-hearted, Mr. B!") == ["it's", "cold", "hearted", "mister", "b"]


def sentence(words: str, seconds: float) -> Sentence:
    samples = np.zeros(round(seconds * RATE), np.float32)
    samples[round(0.3 * RATE) : round((seconds - 0.2) * RATE)] = 0.5
    return Sentence(samples, tuple(words.split()), 0.3, seconds - 0.2)


def test_a_recording_has_its_sentences_where_it_says():
    parts = [sentence("one two", 2.0), sentence("three", 1.0)]
    made = build(Shape(order=(0, 1, 0), pauses=(1.5, 3), lead=2, tail=4), parts)
    assert made.words == ("one", "two", "three", "one", "two")
    assert made.starts == ((0, pytest.approx(2.3)), (2, pytest.approx(5.8)), (3, pytest.approx(9.8)))
    assert made.seconds == pytest.approx(2 + 2 + 1.5 + 1 + 3 + 2 + 4)
    for _, second in made.starts:
        at = round(second * RATE)
        assert abs(int(made.samples[at - 50])) < 1000 < int(made.samples[at + 50])


def test_trimmed_sentences_follow_one_another():
    parts = [sentence("one two", 2.0), sentence("three", 1.0)]
    made = build(Shape(order=(0, 1), pauses=(0,), is_trimmed=True), parts)
    assert made.starts == ((0, pytest.approx(0.05)), (2, pytest.approx(1.65)))


def test_the_report_compares_with_transformers():
    right = score(WORDS, STARTS, [Segment(1.0, 5.0, " ".join(WORDS))])
    wrong = score(WORDS, STARTS, [Segment(1.0, 5.0, "mister")])
    done = Measurements()
    for part, each in (("speech", wrong), ("transformers", right)):
        done.results[part]["no pauses"].append(Result(each, 60.0, 6.0))
    made = report(Plan(), done)
    assert [row[0] for row in made.rows][:2] == ["speech: no pauses", "speech: all"]
    assert made.rows[0][1:6] == (7, 6, 0, 0, pytest.approx(600 / 7))
    assert made.rows[0][-1] == 10
    missed = [target.name for target in made.targets if not target.is_met]
    assert missed == ["words lost, no pauses", "WER, no pauses"]
