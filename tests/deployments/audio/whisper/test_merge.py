"""Joining against `_decode_asr`, which transformers' pipeline joins windows with."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import _find_longest_common_sequence

from deployments.audio.whisper.merge import Stride, TimedToken, TranscriptMerger, WindowTokens, overlap
from tests.speech_checkpoints import whisper_tokenizer

STEP = 0.02


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    made = whisper_tokenizer(tmp_path_factory.mktemp("tokenizer"), ())
    return lambda: made  # hypothesis writes down the arguments of a failure, and a tokenizer is long


WORDS = st.integers(97, 103)  # few letters, so that windows agree by chance
TIMES = st.integers(0, 1500)


@st.composite
def recordings(draw):
    """Windows with their strides: words and times in any order, likelier in a sensible one."""
    windows = draw(st.integers(1, 5))
    strides, window_tokens = [], []
    for number in range(windows):
        left = 5.0 if number else 0.0
        right = 5.0 if number < windows - 1 else 0.0
        strides.append(Stride(draw(st.sampled_from([30.0, 30.0, 12.5])) if not right else 30.0, left, right))
        tokens = draw(st.lists(st.one_of(WORDS, WORDS, WORDS, TIMES.map(lambda time: -1 - time)), max_size=40))
        if draw(st.booleans()):  # times go up, mostly in pairs
            times = iter(sorted(token for token in tokens if token < 0)[::-1])
            tokens = [token if token >= 0 else next(times) for token in tokens]
            tokens = [t for token in tokens for t in ([token, token] if token < 0 and draw(st.booleans()) else [token])]
        window_tokens.append(tokens)
    return strides, window_tokens


def joined(tokenizer, strides, window_tokens, token_times=None):
    merger = TranscriptMerger(tokenizer, STEP)
    told = []
    for number, (stride, tokens) in enumerate(zip(strides, window_tokens, strict=True)):
        merger.add(WindowTokens(tokens, token_times[number] if token_times else ()), stride)
        told.append(merger.stable())
    return merger.finish(), told


def theirs(tokenizer, strides, window_tokens, token_times=None):
    outputs = [
        {"tokens": torch.tensor([tokens], dtype=torch.long), "stride": tuple(stride)}
        | ({"token_timestamps": torch.tensor([token_times[number]])} if token_times else {})
        for number, (stride, tokens) in enumerate(zip(strides, window_tokens, strict=True))
    ]
    return tokenizer._decode_asr(
        outputs, return_timestamps="word" if token_times else True, return_language=None, time_precision=STEP
    )


def ids(tokenizer, window_tokens):
    begin = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1
    return [[token if token >= 0 else begin - 1 - token for token in tokens] for tokens in window_tokens]


@given(recordings())
def test_text_and_times_are_those_of_transformers(tokenizer, recording):
    strides, window_tokens = recording
    window_tokens = ids(tokenizer(), window_tokens)
    segments, told = joined(tokenizer(), strides, window_tokens)
    text, optional = theirs(tokenizer(), strides, window_tokens)
    assert "".join(segment.text for segment in segments) == text
    assert [((segment.start, segment.end), segment.text) for segment in segments] == [
        (chunk["timestamp"], chunk["text"]) for chunk in optional["chunks"]
    ]
    for previous_segments, later in zip(told, [*told[1:], text], strict=True):
        assert later.startswith(previous_segments)  # what has been told once stays


@given(recordings(), st.data())
def test_with_the_moments_of_tokens_too(tokenizer, recording, data):
    strides, window_tokens = recording
    window_tokens = ids(tokenizer(), window_tokens)
    next_start = st.integers(0, 1500).map(lambda step: step * STEP)
    token_times = [
        sorted(data.draw(st.lists(next_start, min_size=len(each), max_size=len(each)))) for each in window_tokens
    ]
    token_times = [torch.tensor(each).tolist() for each in token_times]  # as float32 has them
    text, optional = theirs(tokenizer(), strides, window_tokens, token_times)
    segments, _ = joined(tokenizer(), strides, window_tokens, token_times)
    assert "".join(segment.text for segment in segments) == text
    words = [token for segment in segments for token in segment.tokens]
    spans = [chunk["timestamp"] for chunk in optional["chunks"]]
    assert {start for start, _ in spans} <= {word.start for word in words}
    assert "".join(chunk["text"] for chunk in optional["chunks"]) == text


@given(st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=2, max_size=2))
def test_two_sequences_overlap_as_transformers_lays_them(sequences):
    left, right = ([TimedToken(token) for token in sequence] for sequence in sequences)
    stays, gives_way = overlap(left, right)
    expected = _find_longest_common_sequence(sequences)
    assert sequences[0][:stays] + sequences[1][gives_way:] == expected
