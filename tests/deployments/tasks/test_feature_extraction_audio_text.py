"""feature-extraction with two towers for recordings and texts, against the model's own methods."""

from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig
from deployments.errors import ServiceError
from deployments.media.content import Media
from deployments.registry import task_of
from deployments.tasks.feature_extraction_audio_text import AudioTextFeatureExtraction, Request
from tests.checkpoints import SENTENCES, load_task
from tests.media_checkpoints import RATE
from tests.media_requests import ask_together, recording, wav
from tests.two_towers_checkpoints import AUDIO_FAMILIES, two_towers_checkpoint

SECONDS = (0.05, 0.31, 0.31, 0.52, 0.9, 1.0)  # the model reads 1 s


@pytest.fixture(scope="session")
def tasks(tmp_path_factory):
    loaded: dict[str, Any] = {}

    def load(family):
        if family not in loaded:
            folder = two_towers_checkpoint(tmp_path_factory.mktemp("towers") / family, family)
            loaded[family] = load_task(AudioTextFeatureExtraction, folder)
        return loaded[family]

    return load


def own_vectors(task, method, inputs):
    import torch

    with torch.inference_mode():
        return getattr(task.checkpoint.model, method)(**inputs).pooler_output.numpy()[0]


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_texts_and_recordings_together_have_the_models_own_vectors(tasks, family):
    task = tasks(family)
    sounds = [recording(int(seconds * RATE), seed) for seed, seconds in enumerate(SECONDS)]
    mixed = [each for pair in zip(SENTENCES, map(wav, sounds), strict=False) for each in pair]
    answers = ask_together(task, [Request.model_validate({"inputs": each}) for each in mixed])
    for text, sound, of_text, of_sound in zip(SENTENCES, sounds, answers[::2], answers[1::2], strict=False):
        inputs = task.tokenizer([text], return_tensors="pt", truncation=True, max_length=task.max_length)
        assert np.abs(of_text - own_vectors(task, "get_text_features", inputs)).max() < 1e-4
        inputs = task.extractor(sound, sampling_rate=RATE, return_tensors="pt")
        assert np.abs(of_sound - own_vectors(task, "get_audio_features", inputs)).max() < 1e-4
        assert np.linalg.norm(of_sound) == pytest.approx(1, abs=1e-5)  # CLAP's own are normalized
    assert task.layout.name == "padded"


def test_of_a_long_recording_the_beginning_is_read(tasks):
    task = tasks("clap")
    long = recording(3 * RATE)
    request = Request.model_validate({"inputs": wav(long)})
    assert task.preprocess(request).truncated
    (first,), (second,) = (ask_together(task, [request]) for _ in range(2))
    (beginning,) = ask_together(task, [Request.model_validate({"inputs": wav(long[:RATE])})])
    assert np.array_equal(first, second)
    assert np.abs(first - beginning).max() < 1e-4


@pytest.mark.parametrize("inputs", [{"audio": Media(b"no sound")}, "", {"audio": wav(recording(RATE)).data[:30]}])
def test_bad_inputs(tasks, inputs):
    with pytest.raises(ServiceError) as refused:
        tasks("clap").preprocess(Request.model_validate({"inputs": inputs}))
    assert refused.value.status in (415, 422)


@pytest.mark.parametrize("family", AUDIO_FAMILIES)
def test_the_checkpoint_says_its_task(tasks, family):
    for task in (None, "feature-extraction"):
        config = ModelConfig(model=str(tasks(family).checkpoint.folder), name="towers", task=task)
        assert task_of(config) is AudioTextFeatureExtraction
