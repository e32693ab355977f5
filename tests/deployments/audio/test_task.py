"""What the tasks that read sound share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deployments.audio.task import EXAMPLE
from deployments.errors import InvalidInput, ServiceError, TooLarge
from deployments.layouts.check import WORDS
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.tasks.feature_extraction_audio import AudioFeatureExtraction
from deployments.tasks.speech_recognition_ctc import CTCSpeechRecognition, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import AUDIO_FAMILIES, CTC_FAMILIES, RATE, MediaCheckpoints
from tests.media_requests import recording, recordings, wav

# WavLM's attention gives torch a mask of booleans beside one of floats.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    checkpoints = MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))
    return lambda kind, family, **config: load_task(kind, checkpoints.of(kind, family), layout=None, **config)


@pytest.mark.parametrize(
    ("family", "per_position", "positions", "min_samples", "cost"),
    [
        ("wav2vec2-layer", 1, RATE, 400, 1000),
        ("sew", 1, RATE, 720, 1000),
        ("wav2vec2-bert", 320, 49, 560, 980),
        ("whisper", 2 * RATE, 1, 1, 2000),
        ("audio-spectrogram-transformer", 1.28 * RATE, 1, 240, 1280),
    ],
)
def test_what_a_model_reads_is_found_out_at_load(load, family, per_position, positions, min_samples, cost):
    task = load(AudioFeatureExtraction, family)
    assert (task.samples_per_position, task.min_samples) == (per_position, min_samples)
    row = task.row(recording(RATE))
    assert row.length == positions
    assert task.is_fixed == (positions == 1)
    assert task.cost(row) == cost


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_a_recording_of_the_least_length_gives_a_frame_and_one_sample_less_does_not(load, family):
    task = load(AudioFeatureExtraction, family)
    task.layout = task.layouts()[-1]
    (states,) = task.forward([task.row(recording(task.min_samples))], None)
    assert len(states) >= 1
    assert np.isfinite(states).all()
    if task.min_samples > 1:
        with pytest.raises(InvalidInput, match="the model needs at least"):
            task.row(recording(task.min_samples - 1))


@pytest.mark.parametrize("family", CTC_FAMILIES)
def test_frames_are_counted_as_the_model_gives_them(load, family):
    task = load(CTCSpeechRecognition, family)
    alone = task.layouts()[-1]
    for samples in (task.min_samples, task.min_samples + 1, 2000, 4801, RATE, RATE + 159, RATE + 160, 2 * RATE + 319):
        row = task.row(recording(samples))
        assert alone.run([row]).output.logits.shape[1] == task.frames(row.length)


def test_the_models_rate_is_the_recordings(load):
    task = load(AudioFeatureExtraction, "wav2vec2-layer")
    samples = recording(8000)
    np.testing.assert_array_equal(task.read(wav(samples)), samples)
    assert len(task.read(wav(samples, rate=8000))) == RATE


@pytest.mark.parametrize("family", ["wav2vec2-layer", "whisper"])
def test_limits(load, family):
    task = load(AudioFeatureExtraction, family, audio={"max_seconds": 1.5})
    task.limits = MediaLimits(max_audio_seconds=3)
    with pytest.raises(TooLarge, match=r"longer than 3 s"):
        task.prepare(wav(recording(3 * RATE + 1)))
    if task.is_fixed:  # it reads the first seconds of any
        assert task.prepare(wav(recording(3 * RATE))).truncated
    else:
        with pytest.raises(TooLarge, match=r"2\.0 s; this model reads at most 1\.5 s \(audio\.max_seconds\)"):
            task.prepare(wav(recording(2 * RATE)))


@pytest.mark.parametrize("data", [b"", b"no sound", wav(recording(RATE)).data[:30]])
def test_what_is_no_recording(load, data):
    with pytest.raises(ServiceError, match="inputs") as caught:
        load(AudioFeatureExtraction, "wav2vec2-layer").prepare(Media(data))
    assert caught.value.status in (415, 422)


@pytest.mark.parametrize("family", ["wav2vec2-layer", "wav2vec2-bert", "audio-spectrogram-transformer", "whisper"])
def test_extractors_work_on_several_threads(load, family):
    task = load(AudioFeatureExtraction, family)
    serial = [task.row(samples).inputs[task.main_input] for samples in recordings()]
    with ThreadPoolExecutor(4) as threads:
        for rows in threads.map(lambda _: [task.row(samples) for samples in recordings()], range(4)):
            for row, expected in zip(rows, serial, strict=True):
                np.testing.assert_array_equal(row.inputs[task.main_input], expected)


@pytest.mark.parametrize("family", ["wav2vec2-layer", "parakeet"])
def test_letters_are_spelled_on_several_threads(load, family):
    task = load(CTCSpeechRecognition, family)
    parameters = {"return_timestamps": "word"} if task.has_timestamps else {}
    requests = [Request.model_validate({"inputs": wav(each), "parameters": parameters}) for each in recordings()]
    prepared = [task.preprocess(request) for request in requests]
    task.layout = task.layouts()[-1]
    outputs = [task.forward(item.rows, None) for item in prepared]

    def spell(_):
        return [task.postprocess(*each) for each in zip(requests, prepared, outputs, strict=True)]

    with ThreadPoolExecutor(4) as threads:
        assert all(answers == spell(0) for answers in threads.map(spell, range(8)))


@pytest.mark.parametrize("seconds", [120, 0.5])
def test_samples_differ_in_length(load, seconds):
    """The check at load would find every layout right for rows of one length."""
    task = load(AudioFeatureExtraction, "wav2vec2-layer", audio={"max_seconds": seconds})
    lengths = [task.row(task.read(task.sample(words))).length for words in WORDS]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) >= 5
    assert max(lengths) <= seconds * RATE


def test_the_example_is_a_recording(load):
    media = Request.model_validate({"inputs": EXAMPLE}).inputs
    assert len(load(AudioFeatureExtraction, "wav2vec2-layer").read(media)) == RATE // 10
