"""Spoken digits to train on: utterances of the espeak-ng synthesiser, whose voices are split before anything else.

espeak-ng is a Debian package (`apt-get install espeak-ng`; 1.51 was used) and is needed for training only. A voice is
an accent of English combined with a variant, espeak-ng's name for a speaker (pitch, formants, breath).
"""

import random
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from deployments.zoo.spoken import DIGITS, SAMPLING_RATE

ESPEAK_RATE = 22_050
"""Samples a second of what espeak-ng writes; its WAV header, of 44 bytes, says so too."""

ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "en-029")
HELD_OUT_ACCENT = "en-gb-scotland"
TRAINING_SPEAKERS = (
    "m1 m2 m3 m4 m5 m6 f1 f2 f3 f4 adam Alex Alicia Andrea Andy antonio aunty belinda benjamin boris caleb david Denis "
    "Diogo ed edward edward2 gustave Henrique Hugo iven iven2 iven3 iven4 Jacky john kaukovalta linda marcelo Marco "
    "Mario max michel miguel pablo pedro RicishayMax RicishayMax2 rob robert robosoft robosoft3 robosoft5 steph steph2 "
    "steph3 Storm Tweaky travis sandro norbert klatt2 klatt3 klatt4 klatt5 croak grandpa anika"
).split()
HELD_OUT_SPEAKERS = "m7 m8 f5 Annie Gene Gene2 Michael Nguyen paul quincy shelby victor zac grandma".split()
"""None of them is a version of a speaker above."""


@dataclass(frozen=True)
class Utterance:
    """What was said, by whom, and how it sounds: `samples` are float16 [time], `SAMPLING_RATE` a second, within 1."""

    words: tuple[str, ...]
    voice: str
    samples: np.ndarray


def synthesise(text: str, voice: str, words_a_minute: int, pitch: int) -> np.ndarray:
    """Return float32 samples [time] of espeak-ng saying a text; `pitch` is 0 to 99, where 50 is the voice's own."""
    import soxr

    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-p", str(pitch), "--stdout", text]
    wave = subprocess.run(command, capture_output=True, check=True).stdout
    samples = np.frombuffer(wave[44 : len(wave) - len(wave) % 2], dtype="<i2").astype(np.float32) / 32768
    resampled: np.ndarray = soxr.resample(samples, ESPEAK_RATE, SAMPLING_RATE)
    return resampled


def record(
    count: int, longest: int, speakers: Sequence[str], accents: Sequence[str], chance: random.Random
) -> list[Utterance]:
    """Return utterances of 1 to `longest` digits, each with an accent, a speaker, a speed and a pitch of its own."""

    def one(seed: int) -> Utterance:
        own = random.Random(seed)  # so that threads do not share one generator and the result is the same every time
        words = tuple(own.choice(DIGITS) for _ in range(own.randint(1, longest)))
        voice = f"{own.choice(accents)}+{own.choice(speakers)}"
        samples = synthesise(" ".join(words), voice, own.randint(130, 210), own.randint(25, 75))
        return Utterance(words, voice, samples.astype(np.float16))

    seeds = [chance.randrange(1 << 48) for _ in range(count)]
    with ThreadPoolExecutor(2) as pool:  # the work is in espeak-ng's own processes
        return list(pool.map(one, seeds))


def vary(samples: np.ndarray, chance: random.Random) -> np.ndarray:
    """Return another take of the same words: faster or slower, duller or brighter, with silence around it and noise."""
    noise = np.random.default_rng(chance.randrange(1 << 32))
    wide: np.ndarray = samples.astype(np.float32)
    length = int(len(wide) * chance.uniform(0.88, 1.14))
    wide = np.interp(np.linspace(0, len(wide) - 1, length), np.arange(len(wide)), wide)
    wide[1:] += chance.uniform(-0.6, 0.6) * wide[:-1]
    wide = np.pad(wide, (chance.randint(0, SAMPLING_RATE // 4), chance.randint(0, SAMPLING_RATE // 4)))
    hiss = noise.standard_normal(len(wide))
    hiss[1:] += chance.uniform(-0.9, 0.9) * hiss[:-1]
    loudness = wide.std() * 10 ** -chance.uniform(0.5, 2.5)  # noise 10 to 50 dB below the speech
    varied: np.ndarray = (wide + loudness * hiss).astype(np.float32)
    return varied
