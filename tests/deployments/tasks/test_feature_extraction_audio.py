"""feature-extraction of sound against `AutoModel` itself."""

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput
from deployments.tasks.feature_extraction_audio import AudioFeatureExtraction, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import AUDIO_FAMILIES, RATE, MediaCheckpoints, assert_best_layout
from tests.media_requests import ask, ask_together, recording, recordings, wav

# WavLM's attention gives torch a mask of booleans beside one of floats.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


def directly(folder, recordings):
    """Hidden states of recordings one by one, from transformers' classes alone."""
    from transformers import AutoFeatureExtractor, AutoModel

    extractor, model = AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.inference_mode():
        for samples in recordings:
            yield model(**extractor(samples, sampling_rate=RATE, return_tensors="pt")).last_hidden_state[0].numpy()


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_recordings_of_all_lengths_together_are_what_the_model_says(checkpoints, family):
    folder = checkpoints.of(AudioFeatureExtraction, family)
    task = load_task(AudioFeatureExtraction, folder)
    assert_best_layout(task, family)
    answers = ask_together(task, [Request(inputs=wav(samples)) for samples in recordings()])
    for answer, expected in zip(answers, directly(folder, recordings()), strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=1e-4)
    assert np.abs(answers[-1][:4] - answers[-2][:4]).max() > 1e-2  # no dull model


@pytest.mark.parametrize("family", ["wav2vec2-group", "wav2vec2-layer", "wav2vec2-bert", "whisper"])
@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_pooled_over_its_own_frames(checkpoints, family, mode):
    folder = checkpoints.of(AudioFeatureExtraction, family)
    task = load_task(AudioFeatureExtraction, folder, pooling={"mode": mode})
    some = recordings()[5:10]
    answers = ask_together(task, [Request(inputs=wav(samples)) for samples in some])
    for answer, states in zip(answers, directly(folder, some), strict=True):
        expected = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[mode]
        np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=1e-4)


def test_a_model_with_more_frames_than_one_in_320_samples(checkpoints):
    """An adapter halves the frames; each recording still gets its own, and no others."""
    folder = checkpoints.of(AudioFeatureExtraction, "wav2vec2-layer", add_adapter=True, num_adapter_layers=1)
    task = load_task(AudioFeatureExtraction, folder)
    answers = ask_together(task, [Request(inputs=wav(samples)) for samples in recordings()])
    for answer, expected in zip(answers, directly(folder, recordings()), strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=1e-4)


def test_a_recording_too_short_for_a_frame_is_refused(checkpoints):
    task = load_task(AudioFeatureExtraction, checkpoints.of(AudioFeatureExtraction, "hubert-layer"))
    with pytest.raises(InvalidInput, match=r"a recording of 0\.06 ms; the model needs at least 25\.00 ms"):
        ask(task, wav(recording(1)))


def test_one_recording_is_a_list_of_one_where_the_model_pools(checkpoints):
    folder = checkpoints.of(AudioFeatureExtraction, "wav2vec2-layer")
    one = Request(inputs=wav(recording(RATE)))
    assert load_task(AudioFeatureExtraction, folder, pooling={}).join(one, ["vector"]) == ["vector"]
    assert load_task(AudioFeatureExtraction, folder).join(one, ["states"]) == "states"
