"""The training data of the spoken digits, and how what a model writes is read and counted."""

import random
import shutil

import numpy as np
import pytest

from deployments.zoo.spoken import LETTERS, SAMPLING_RATE
from tools.training import speech, spoken_digits


def test_held_out_speakers_are_never_trained_on() -> None:
    assert not set(speech.HELD_OUT_SPEAKERS) & set(speech.TRAINING_SPEAKERS)
    assert speech.HELD_OUT_ACCENT not in speech.ACCENTS
    everybody = [*speech.HELD_OUT_SPEAKERS, *speech.TRAINING_SPEAKERS]
    assert len(set(everybody)) == len(everybody)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is needed for training only")
def test_speakers_are_all_known_to_espeak_and_all_different() -> None:
    """espeak-ng takes an unknown speaker for its own voice without saying so."""
    everybody = ["nobody", *speech.HELD_OUT_SPEAKERS, *speech.TRAINING_SPEAKERS]
    sounds = {speech.synthesise("one two", f"en-us+{speaker}", 160, 50).tobytes() for speaker in everybody}
    assert len(sounds) == len(everybody)


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is needed for training only")
def test_recordings_are_the_same_for_the_same_seed() -> None:
    one, other = (speech.record(4, 3, ["m1", "f1"], ["en-us"], random.Random(1)) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert (first.words, first.voice) == (second.words, second.voice)
        np.testing.assert_array_equal(first.samples, second.samples)


def test_varying_keeps_the_length_nearly() -> None:
    samples = np.sin(np.arange(SAMPLING_RATE)).astype(np.float16)
    chance = random.Random(0)
    lengths = [len(speech.vary(samples, chance)) for _ in range(50)]
    assert 0.88 * SAMPLING_RATE <= min(lengths) < max(lengths) <= 1.14 * SAMPLING_RATE + SAMPLING_RATE // 2
    assert speech.vary(samples, random.Random(1)).dtype == np.float32


def test_reading_takes_out_repetitions_and_blanks() -> None:
    written = ["<pad>", "s", "s", "i", "x", "<pad>", "|", "|", "t", "h", "r", "e", "<pad>", "e", "e"]
    logits = np.eye(len(LETTERS))[[LETTERS.index(letter) for letter in written]]
    assert spoken_digits.read(logits) == ["six", "three"]


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("one two", "one two", 0),
        ("one two", "one", 1),
        ("one two", "one nine two", 1),
        ("one two", "two", 1),
        ("one two", "two one", 2),
        ("one", "", 1),
    ],
)
def test_errors_are_counted_in_words(said: str, heard: str, errors: int) -> None:
    assert spoken_digits.errors(said.split(), heard.split()) == errors
