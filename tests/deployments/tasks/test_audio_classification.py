"""audio-classification against transformers' own pipeline."""

from functools import cache

import numpy as np
import pytest

from deployments.errors import InvalidInput, TooLarge
from deployments.tasks.audio_classification import AudioClassification, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import AUDIO_FAMILIES, RATE, MediaCheckpoints, assert_best_layout
from tests.media_requests import ask, ask_together, recording, recordings, wav

# WavLM's attention gives torch a mask of booleans beside one of floats.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def task(checkpoints):
    return load_task(AudioClassification, checkpoints.of(AudioClassification, "wav2vec2-layer"))


@pytest.fixture(scope="module")
def pipeline(checkpoints):
    return pipeline_of(checkpoints.of(AudioClassification, "wav2vec2-layer"))


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("audio-classification", model=str(folder), device="cpu", dtype="float32")


def assert_same(ours, theirs, tolerance=1e-4):
    """Unlike the one for pictures, this pipeline answers with all labels where no `top_k` is given."""
    theirs = theirs[: len(ours)]
    assert [label["label"] for label in ours] == [label["label"] for label in theirs]
    assert [label["score"] for label in ours] == pytest.approx([label["score"] for label in theirs], abs=tolerance)


@pytest.fixture(scope="module")
def pair_of(checkpoints):
    """A family's task and transformers' pipeline, loaded once."""

    @cache
    def pair(family):
        folder = checkpoints.of(AudioClassification, family)
        return load_task(AudioClassification, folder), pipeline_of(folder)

    return pair


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_recordings_of_all_lengths_together_are_answered_as_by_the_pipeline(pair_of, family):
    task, pipeline = pair_of(family)
    assert_best_layout(task, family)
    answers = ask_together(task, [Request(inputs=wav(samples)) for samples in recordings()])
    for samples, answer in zip(recordings(), answers, strict=True):
        assert_same(answer, pipeline(samples.copy()))
    assert len({round(answer[0]["score"], 3) for answer in answers}) > len(answers) / 2  # no dull model


@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
def test_each_function(task, pipeline, function):
    samples = recording(RATE)
    ours = ask(task, wav(samples), parameters={"function_to_apply": function})
    assert_same(ours, pipeline(samples, function_to_apply=function))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"num_labels": 3, "problem_type": "single_label_classification"},
        {"num_labels": 2, "problem_type": "regression"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
    ],
    ids=str,
)
def test_the_function_follows_from_the_configuration_as_in_the_pipeline(checkpoints, settings):
    folder = checkpoints.of(AudioClassification, "wav2vec2-layer", **settings)
    task, pipeline = load_task(AudioClassification, folder), pipeline_of(folder)
    assert_same(ask(task, wav(recording(RATE))), pipeline(recording(RATE)))


@pytest.mark.parametrize(("top_k", "labels"), [(None, 5), (1, 1), (7, 7), (1000, 7)])
def test_top_k(task, pipeline, top_k, labels):
    parameters = {} if top_k is None else {"top_k": top_k}
    answer = ask(task, wav(recording(RATE)), parameters=parameters)
    assert len(answer) == labels
    assert_same(answer, pipeline(recording(RATE), **parameters))


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_silence_and_the_shortest_recording_are_answered_as_by_the_pipeline(pair_of, family):
    task, pipeline = pair_of(family)
    for samples in (np.zeros(RATE, np.float32), recording(task.min_samples)):
        answer = ask(task, wav(samples))
        assert all(np.isfinite(label["score"]) for label in answer)
        assert_same(answer, pipeline(samples))


@pytest.mark.parametrize(
    ("family", "min_samples"),
    [("wav2vec2-group", 400), ("sew", 720), ("wav2vec2-bert", 560), ("audio-spectrogram-transformer", 240)],
)
def test_a_recording_too_short_for_a_frame_is_refused(checkpoints, family, min_samples):
    task = load_task(AudioClassification, checkpoints.of(AudioClassification, family))
    assert task.min_samples == min_samples
    with pytest.raises(InvalidInput) as caught:
        ask(task, wav(recording(min_samples - 1)))
    assert f"a recording of {(min_samples - 1) / 16:.2f} ms; the model needs at least {min_samples / 16:.2f} ms" in str(
        caught.value
    )


def test_a_recording_longer_than_goes_through_in_one_piece_is_refused(checkpoints):
    folder = checkpoints.of(AudioClassification, "wav2vec2-layer")
    task = load_task(AudioClassification, folder, audio={"max_seconds": 2})
    ask(task, wav(recording(2 * RATE)))
    with pytest.raises(TooLarge, match=r"a recording of 2\.1 s; this model reads at most 2 s"):
        ask(task, wav(recording(2 * RATE + 1600)))


def test_what_a_fixed_window_cuts_off_is_told(checkpoints):
    task = load_task(AudioClassification, checkpoints.of(AudioClassification, "whisper"), audio={"max_seconds": 1})
    for seconds, is_cut in ((1.5, False), (2, False), (2.5, True)):
        request = Request(inputs=wav(recording(int(seconds * RATE))))
        assert task.preprocess(request).truncated == is_cut


def test_half_precision_answers_nearly_the_same(checkpoints, task):
    folder = checkpoints.of(AudioClassification, "wav2vec2-layer")
    for dtype in ("float16", "bfloat16"):
        half = load_task(AudioClassification, folder, dtype=dtype)
        assert half.checkpoint.dtype == dtype
        for samples in recordings()[-3:]:
            ours = {label["label"]: label["score"] for label in ask(half, wav(samples), parameters={"top_k": 7})}
            exact = {label["label"]: label["score"] for label in ask(task, wav(samples), parameters={"top_k": 7})}
            assert ours == pytest.approx(exact, abs=5e-2)
