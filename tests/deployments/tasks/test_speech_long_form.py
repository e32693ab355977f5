"""Recordings longer than a window: `sequential` against transformers' long form, `speech` on a sentence read out."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from deployments.audio.voice_activity import RATE, Span
from deployments.audio.whisper import windows
from deployments.errors import InvalidInput
from deployments.media.audio import read_audio
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.zoo.embedded import cache_folder, ensure
from deployments.zoo.package import PackageUnavailable
from tests.media_requests import recording, wav
from tests.serving import answer, events, replica_of
from tests.speech_checkpoints import WHISPER, speech_checkpoint

MEDIA = Path(__file__).parents[3] / "examples" / "media"
SENTENCE = (
    " And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power to do for them."
)
SPOKEN = (0.32, 6.91)  # seconds of speech in the file
NEW = 24
PLAIN = {"max_new_tokens": NEW, "temperature": [0.0], "no_speech_threshold": None}  # one attempt, never dropped


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """`small(family)`: a replica with a random model that reads recordings sequentially."""
    made = {}

    def get(family):
        if family not in made:
            torch.set_num_threads(1)
            folder = speech_checkpoint(tmp_path_factory.mktemp(family), family)
            made[family] = replica_of(folder, audio={"long_form": "sequential"})
        return made[family]

    yield get
    for replica in made.values():
        replica.stop()


@pytest.fixture(scope="module")
def whisper():
    """The embedded Whisper."""
    torch.set_num_threads(1)
    try:
        replica = replica_of(ensure("whisper-tiny-en", cache_folder(), lambda stage, fraction: None))
    except PackageUnavailable as error:
        pytest.skip(str(error))
    yield replica
    replica.stop()


@cache
def sentence():
    return read_audio(Media((MEDIA / "speech.ogg").read_bytes()), RATE, MediaLimits())


def silence(seconds):
    return np.zeros(int(seconds * RATE), np.float32)


def on_grid(samples):
    return wav(np.round(samples * 32768) / 32768)


def theirs(replica, samples):
    """Segments of transformers' long form: `(start, end, tokens)`."""
    task = replica.task
    inputs = task.extractor(
        samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, truncation=False,
        padding="longest",
    )  # fmt: skip
    with torch.inference_mode():
        got = task.checkpoint.model.generate(
            **inputs, return_timestamps=True, return_segments=True, max_new_tokens=NEW, do_sample=False
        )
    return [(float(each["start"]), float(each["end"]), each["tokens"].tolist()) for each in got["segments"][0]]


@pytest.mark.parametrize("family", WHISPER)
def test_sequential_reads_what_transformers_long_form_reads(small, family):
    replica, samples = small(family), recording(70 * RATE, 3)
    segments = answer(replica, inputs=wav(samples), parameters=PLAIN | {"segments": True})["segments"]
    expected = theirs(replica, samples)
    texts = [replica.task.tokenizer.decode([t for t in tokens if t < 300]) for _, _, tokens in expected]
    spoken = [text for text in texts if text.strip()]
    assert [segment["text"] for segment in segments] == spoken
    assert len(spoken) > 3
    assert len({segment["seek"] for segment in segments}) > 2
    starts = [start for (start, _, _), text in zip(expected, texts, strict=True) if text.strip()]
    # A random model also writes times behind the recording's end.
    assert [segment["start"] for segment in segments] == pytest.approx(np.minimum(starts, 70), abs=1.01)


def test_overlapping_windows_have_segments_without_figures(small):
    samples = recording(70 * RATE, 3)
    parameters = {"max_new_tokens": NEW, "long_form": "overlap", "return_timestamps": True}
    got = answer(small("whisper-many"), inputs=wav(samples), parameters=parameters | {"segments": True})
    chunks = [chunk for chunk in got["chunks"] if chunk["text"].strip()]
    assert [segment["text"] for segment in got["segments"]] == [chunk["text"] for chunk in chunks]
    assert all(0 <= segment["start"] <= segment["end"] for segment in got["segments"])
    assert {segment["avg_logprob"] for segment in got["segments"]} == {None}
    assert got["duration"] == 70
    assert got == answer(small("whisper-many"), inputs=wav(samples), parameters=parameters) | {
        name: got[name] for name in ("segments", "language", "duration")
    }


def test_the_text_before_is_the_prompt_of_the_next_pass_on_request(small):
    replica, samples = small("whisper-english"), recording(70 * RATE, 3)
    options = PLAIN | {"segments": True}
    alone = answer(replica, inputs=wav(samples), parameters=options)["segments"]
    conditions = {"condition_on_previous_text": True}
    conditioned = answer(replica, inputs=wav(samples), parameters=options | conditions)
    texts = [
        ["".join(each["text"] for each in segments if (each["seek"] == 0) is is_first) for is_first in (True, False)]
        for segments in (alone, conditioned["segments"])
    ]
    assert texts[0][0] == texts[1][0]
    assert texts[0][1] != texts[1][1]
    assert answer(replica, inputs=wav(samples), parameters=options | conditions | {"max_new_tokens": 90})["text"]
    parameters = PLAIN | {"condition_on_previous_text": True, "long_form": "speech"}
    with pytest.raises(InvalidInput, match=r"condition_on_previous_text: needs parameters\.long_form 'sequential'"):
        answer(replica, inputs=wav(samples), parameters=parameters)


def test_a_prompt_changes_what_the_model_writes(small):
    replica, samples = small("whisper-many"), recording(5 * RATE, 4)
    texts = {
        answer(replica, inputs=wav(samples), parameters={"max_new_tokens": NEW, "prompt": prompt})["text"]
        for prompt in ("", "a b c", "a b c d e f g h" * 30)
    }
    assert len(texts) == 3
    with pytest.raises(InvalidInput, match=r"parameters\.prompt"):
        answer(replica, inputs=wav(samples), parameters={"prompt": "<|startoftranscript|>"})


def test_a_prompt_is_read_as_by_generate(small):
    replica, samples = small("whisper-english"), recording(5 * RATE, 4)
    task = replica.task
    features = task.extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    prompt = "a b c"
    with torch.inference_mode():
        ids = task.checkpoint.model.generate(
            features, prompt_ids=task.tokenizer.get_prompt_ids(prompt, return_tensors="pt"), max_new_tokens=NEW,
            do_sample=False,
        )  # fmt: skip
    expected = task.tokenizer.decode(ids[0], skip_special_tokens=True)
    got = answer(replica, inputs=wav(samples), parameters={"max_new_tokens": NEW, "prompt": prompt})["text"]
    assert expected.endswith(got)
    assert len(got) > 5


@pytest.mark.parametrize("stream", [False, True])
def test_between_pauses_no_word_is_lost_and_times_are_right(whisper, stream):
    samples = np.concatenate([silence(2), sentence(), silence(25), sentence(), silence(20)])
    parameters = {"return_timestamps": True, "segments": True}
    if stream:
        told = events(whisper, inputs=on_grid(samples), parameters=parameters)
        got = told[-1] | {"text": told[-1]["generated_text"]}
        assert "".join(event["token"]["text"] for event in told) == got["text"]
    else:
        got = answer(whisper, inputs=on_grid(samples), parameters=parameters)
    assert got["text"] == SENTENCE * 2
    assert got["language"] == "english"
    assert got["duration"] == round(len(samples) / RATE, 2)
    chunks = got["chunks"]
    assert [(each["start"], each["end"]) for each in got["segments"]] == [tuple(each["timestamp"]) for each in chunks]
    begins = (2.0, 2 + len(sentence()) / RATE + 25)
    starts = [next(each["start"] for each in got["segments"] if each["start"] >= begin) for begin in begins]
    ends = [max(each["end"] for each in got["segments"] if each["start"] < begin + 10) for begin in begins]
    assert starts == pytest.approx([begin + SPOKEN[0] for begin in begins], abs=0.5)
    assert ends == pytest.approx([begin + SPOKEN[1] for begin in begins], abs=0.5)
    for segment in got["segments"]:
        assert segment["text"].strip()
        assert (segment["temperature"], segment["avg_logprob"] > -1) == (0.0, True)
        assert 0.5 < segment["compression_ratio"] < 2.4
        assert 0 <= segment["no_speech_prob"] < 0.6


def test_words_of_a_long_recording_have_their_times(whisper):
    samples = np.concatenate([silence(2), sentence(), silence(25), sentence()])
    words = answer(whisper, inputs=on_grid(samples), parameters={"return_timestamps": "word"})["chunks"]
    half = len(words) // 2
    assert [word["text"] for word in words[:half]] == [word["text"] for word in words[half:]]
    second = 2 + len(sentence()) / RATE + 25
    assert words[0]["timestamp"][0] == pytest.approx(2 + SPOKEN[0], abs=0.5)
    assert words[half]["timestamp"][0] == pytest.approx(second + SPOKEN[0], abs=0.5)
    assert all(second == round(second, 2) for word in words for second in word["timestamp"])
    assert words[half - 1]["timestamp"][1] == pytest.approx(2 + SPOKEN[1], abs=0.5)


@pytest.mark.parametrize("long_form", ["speech", "sequential"])
def test_speech_without_a_pause_goes_on_from_the_last_timestamp(whisper, monkeypatch, long_form):
    first, last = (round(second * RATE) for second in SPOKEN)
    spoken = np.concatenate([silence(5), np.tile(sentence()[first:last], 6)])  # 40 s
    stretch = Span(5 * RATE, len(spoken))
    monkeypatch.setattr(windows, "voice_activity", lambda: lambda samples, rate: [stretch])
    options = {"segments": True, "temperature": [0.0], "no_speech_threshold": None, "long_form": long_form}
    got = answer(whisper, inputs=on_grid(spoken), parameters=options)
    assert len({segment["seek"] for segment in got["segments"]}) > 1
    assert got["text"].lower().count("leisure") == 6
    begins = [segment["start"] for segment in got["segments"]]
    assert begins == sorted(begins)
    assert (5 if long_form == "speech" else 0) <= begins[0] < 5.5  # `sequential` reads the silence before, too
    assert begins[-1] > 35


@pytest.mark.parametrize("seconds", [10, 40])
@pytest.mark.parametrize("sound", ["silence", "noise", "hum"])
def test_where_nobody_speaks_the_text_is_empty(whisper, sound, seconds):
    time = np.arange(seconds * RATE) / RATE
    made = {
        "silence": 0 * time,
        "noise": np.random.default_rng(0).normal(0, 0.1, len(time)),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * time) + 0.1 * np.sin(2 * np.pi * 100 * time),
    }
    got = answer(whisper, inputs=on_grid(made[sound]), parameters={"return_timestamps": True, "segments": True})
    assert (got["text"], got["chunks"], got["segments"]) == ("", [], [])
    assert got["duration"] == seconds


def test_a_stream_of_silence_ends_with_an_empty_text(whisper):
    told = events(whisper, inputs=on_grid(silence(10)), parameters={})
    assert told[-1]["generated_text"] == "".join(event["token"]["text"] for event in told) == ""


def test_a_short_recording_tells_the_temperature_that_it_was_sampled_at(whisper):
    for asked, told in ((None, 0.0), (0.3, 0.3), ([0.0], 0.0)):
        parameters = {"segments": True, "seed": 1} | ({} if asked is None else {"temperature": asked})
        got = answer(whisper, inputs=on_grid(sentence()), parameters=parameters)
        assert {segment["temperature"] for segment in got["segments"]} == {told}


def test_a_short_recording_is_what_generate_says_to_it(whisper):
    task = whisper.task
    features = task.extractor(sentence(), sampling_rate=RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        ids = task.checkpoint.model.generate(features.to(next(task.checkpoint.model.parameters()).dtype))
    expected = task.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert answer(whisper, inputs=on_grid(sentence()), parameters={})["text"] == expected == SENTENCE
