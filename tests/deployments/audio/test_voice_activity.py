"""Stretches of speech against the package's own torch model, and sounds that are no speech."""

from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from deployments.audio.voice_activity import RATE, _torch_threads_kept, voice_activity
from deployments.media.audio import read_audio
from deployments.media.content import Media
from deployments.media.limits import MediaLimits

MEDIA = Path(__file__).parents[3] / "examples" / "media"
SECONDS = np.arange(10 * RATE) / RATE


def samples_of(name: str, rate: int = RATE) -> np.ndarray:
    return read_audio(Media((MEDIA / name).read_bytes()), rate, MediaLimits())


def noise(loudness: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, loudness, len(SECONDS))


QUIET = {
    "silence": np.zeros(10 * RATE),
    "a faint noise": noise(1e-4),
    "a loud noise": noise(0.3),
    "hum": 0.3 * sum(np.sin(2 * np.pi * 60 * part * SECONDS) / part for part in range(1, 8)),
    "a tone": 0.5 * np.sin(2 * np.pi * 440 * SECONDS),
    "clicks": (np.arange(len(SECONDS)) % 8000 == 0) * 0.9,
}


@pytest.mark.parametrize("name", QUIET)
def test_nobody_speaks_in_silence_noise_and_hum(name):
    assert voice_activity()(QUIET[name].astype(np.float32), RATE) == []


def test_a_sentence_is_found_between_pauses():
    sentence = samples_of("speech.ogg")
    pause = np.zeros(3 * RATE, np.float32)
    stretches = voice_activity()(np.concatenate([pause, sentence, pause, sentence]), RATE)
    spoken = [(stretch.start / RATE, stretch.stop / RATE) for stretch in stretches]
    second = 6 + len(sentence) / RATE
    halves = [[each for each in spoken if each[1] < second], [each for each in spoken if each[0] >= second]]
    assert sum(map(len, halves)) == len(spoken)
    for begin, found in zip((3.0, second), halves, strict=True):
        assert found[0][0] == pytest.approx(begin + 0.3, abs=0.2)
        assert found[-1][1] == pytest.approx(begin + 6.9, abs=0.3)


@pytest.mark.filterwarnings("ignore:`torch.jit.load`")
def test_the_stretches_are_those_of_the_packages_own_model():
    from silero_vad import get_speech_timestamps, load_silero_vad

    samples = np.concatenate([samples_of("speech.ogg"), noise(0.05).astype(np.float32), samples_of("speech.ogg")])
    options = {"min_silence_duration_ms": 100, "min_speech_duration_ms": 100, "speech_pad_ms": 0}
    expected = get_speech_timestamps(torch.from_numpy(samples), load_silero_vad(), **options)
    got = voice_activity()(samples, RATE)
    assert got == [(each["start"], each["end"]) for each in expected]
    assert len(got) > 1


def test_a_recording_of_another_rate_has_the_same_stretches():
    samples = samples_of("speech.ogg")
    expected = voice_activity()(samples, RATE)
    got = voice_activity()(soxr.resample(samples, RATE, 48_000), 48_000)
    assert np.allclose(np.array(got) / 48_000, np.array(expected) / RATE, atol=0.1)


@pytest.mark.parametrize("name", ["digits.wav", "digit.flac"])
def test_short_words_are_speech(name):
    assert voice_activity()(samples_of(name), RATE)


def test_a_recording_without_samples_is_silent():
    assert voice_activity()(np.zeros(0, np.float32), RATE) == []


def test_the_imports_leave_torchs_threads_as_they_are():
    before = torch.get_num_threads()
    with _torch_threads_kept():
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before
