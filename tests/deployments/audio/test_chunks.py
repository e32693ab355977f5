"""Chunks tile a recording, and are those of transformers' pipeline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.pipelines.automatic_speech_recognition import chunk_iter, rescale_stride

from deployments.audio.chunks import Chunk, Chunking
from deployments.config import Audio
from deployments.errors import LoadError

FRAME = 320


def frames_of(samples: int) -> int:
    """As a wav2vec 2.0 gives them: a frame sees 400 samples, and begins 320 behind the one before."""
    return max(0, (samples - 80) // FRAME)


@st.composite
def chunkings(draw, min_samples=1):
    left, right = draw(st.integers(0, 6)) * FRAME, draw(st.integers(0, 6)) * FRAME
    return Chunking(left + right + FRAME * draw(st.integers(2, 8)), left, right, min_samples)


@given(chunkings(), st.integers(1, 60 * FRAME))
def test_kept_parts_tile_the_recording(chunking, samples):
    reached = 0
    for chunk in chunking.cut(samples):
        assert chunk.start + chunk.left == reached
        assert chunk.stop - chunk.start <= chunking.length
        reached = chunk.stop - chunk.right
    assert reached == samples


@given(chunkings(min_samples=400), st.integers(400, 60 * FRAME))
def test_no_chunk_is_too_short_for_a_frame(chunking, samples):
    chunks = list(chunking.cut(samples))
    assert all(chunk.stop - chunk.start >= 400 for chunk in chunks)
    assert chunks[-1].stop == samples
    assert all(chunk.stop - chunk.start < chunking.length + 400 for chunk in chunks)


@given(chunkings(), st.integers(1, 60 * FRAME))
def test_chunks_are_those_of_the_pipeline(chunking, samples):
    class Extractor:
        sampling_rate = 16_000

        def __call__(self, samples, **options):
            return {"samples": samples}

    theirs = list(chunk_iter(np.arange(samples), Extractor(), chunking.length, chunking.left, chunking.right))
    ours = list(chunking.cut(samples))
    assert [(c.stop - c.start, c.left, c.right) for c in ours] == [item["stride"] for item in theirs]
    assert [c.start for c in ours] == [int(item["samples"][0]) for item in theirs]
    for chunk, (total, left, right) in zip(ours, rescale_stride([i["stride"] for i in theirs], 1 / FRAME), strict=True):
        frames = list(range(frames_of(chunk.stop - chunk.start)))
        assert frames[chunk.core_frames(FRAME)] == frames[left : total - right]


@given(chunkings(min_samples=400), st.integers(400, 60 * FRAME))
def test_kept_frames_follow_each_other(chunking, samples):
    """With a right stride nothing is lost between chunks; without one a chunk's last frame is."""
    places: list[int] = []
    for chunk in chunking.cut(samples):
        frames = list(range(frames_of(chunk.stop - chunk.start)))[chunk.core_frames(FRAME)]
        places += [chunk.start // FRAME + frame for frame in frames]
    lost = 0 if chunking.right else 1
    assert all(1 <= after - before <= 1 + lost for before, after in zip(places, places[1:], strict=False))
    assert places[0] == 0
    assert 0 <= frames_of(samples) - 1 - places[-1] <= lost


def test_seconds_become_whole_frames():
    assert Chunking.of(Audio(chunk_length_s=10), 16_000, FRAME, 400) == Chunking(160_000, 26_560, 26_560, 400)
    audio = Audio(chunk_length_s=10, stride_length_s=(4, 2))
    assert Chunking.of(audio, 16_000, FRAME, 400) == Chunking(160_000, 64_000, 32_000, 400)


def test_no_length_no_chunks():
    chunking = Chunking.of(Audio(chunk_length_s=0), 16_000, FRAME, 400)
    assert list(chunking.cut(10**9)) == [Chunk(0, 10**9, 0, 0)]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (Audio(chunk_length_s=6, stride_length_s=3), r"stride_length_s \(3 s \+ 3 s\) must be shorter.*\(6 s\)"),
        (Audio(chunk_length_s=0.02, stride_length_s=0), "reads 0.025 s to 120 s"),
        (Audio(chunk_length_s=60, max_seconds=30), r"60 s; this model reads 0.025 s to 30 s \(audio.max_seconds\)"),
    ],
)
def test_impossible_chunks(audio, message):
    with pytest.raises(LoadError, match=message):
        Chunking.of(audio, 16_000, FRAME, 400)
