"""feature-extraction of pictures against `AutoModel` itself."""

import base64

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import IMAGE_FAMILIES, MediaCheckpoints, assert_best_layout
from tests.media_requests import ask, ask_together, picture, pictures, png

CONVOLUTIONAL = ("convnext", "resnet", "efficientnet")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


def directly(folder, image):
    """Hidden states of a picture, from transformers' classes alone."""
    from transformers import AutoImageProcessor, AutoModel

    processor, model = AutoImageProcessor.from_pretrained(folder, backend="pil"), AutoModel.from_pretrained(folder)
    with torch.inference_mode():
        return model.eval()(**processor(images=image, return_tensors="pt")).last_hidden_state[0].numpy()


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_pictures_of_all_sizes_together_are_what_the_model_says(checkpoints, family):
    folder = checkpoints.of(ImageFeatureExtraction, family)
    task = load_task(ImageFeatureExtraction, folder)
    assert_best_layout(task, family)
    answers = ask_together(task, [Request(inputs=png(image)) for image in pictures()])
    for image, answer in zip(pictures(), answers, strict=True):
        expected = directly(folder, image)
        assert expected.ndim == (3 if family in CONVOLUTIONAL else 2)
        np.testing.assert_allclose(answer, expected, atol=1e-4, rtol=1e-4)
    assert np.abs(answers[3] - answers[4]).max() > 1e-2  # no dull model


@pytest.mark.parametrize("family", ["vit", "convnext"])
@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_pooled(checkpoints, family, mode):
    folder = checkpoints.of(ImageFeatureExtraction, family)
    task = load_task(ImageFeatureExtraction, folder, pooling={"mode": mode})
    states = directly(folder, picture(50, 40))
    patches = states.reshape(states.shape[0], -1).T if states.ndim == 3 else states
    expected = {"mean": patches.mean(0), "cls": patches[0], "last": patches[-1]}[mode]
    np.testing.assert_allclose(ask(task, png(picture(50, 40))), expected, atol=1e-4, rtol=1e-4)


def test_the_options_of_vectors(checkpoints):
    task = load_task(ImageFeatureExtraction, checkpoints.of(ImageFeatureExtraction, "vit"), pooling={"normalize": True})
    image = png(picture(50, 40))
    vector = ask(task, image)
    assert vector.shape == (32,)
    assert np.linalg.norm(vector) == pytest.approx(1)
    raw = ask(task, image, normalize=False)
    np.testing.assert_allclose(raw / np.linalg.norm(raw), vector, atol=1e-6)
    np.testing.assert_allclose(ask(task, image, dimensions=8), raw[:8] / np.linalg.norm(raw[:8]), atol=1e-6)
    encoded = ask(task, image, encoding_format="base64")
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(encoded), "<f4"), vector)
    with pytest.raises(InvalidInput, match="dimensions is 33; the model's vectors have 32"):
        ask(task, image, dimensions=33)


def test_options_that_hidden_states_cannot_have(checkpoints):
    image = png(picture(50, 40))
    for family, pooling in (("vit", None), ("convnext", {"mode": "none"})):
        task = load_task(ImageFeatureExtraction, checkpoints.of(ImageFeatureExtraction, family), pooling=pooling)
        with pytest.raises(InvalidInput, match="dimensions applies to pooled vectors"):
            ask(task, image, dimensions=8)
    with pytest.raises(InvalidInput, match="normalize applies to vectors; this model returns maps"):
        ask(task, image, normalize=True)


def test_one_picture_is_a_list_of_one_where_the_model_pools(checkpoints):
    folder = checkpoints.of(ImageFeatureExtraction, "vit")
    media = png(picture(8, 8))
    one, several = Request(inputs=media), Request(inputs=[media, media])
    pooled, states = load_task(ImageFeatureExtraction, folder, pooling={}), load_task(ImageFeatureExtraction, folder)
    assert pooled.join(one, ["vector"]) == ["vector"]
    assert states.join(one, ["states"]) == "states"
    for task in (pooled, states):
        assert task.join(several, ["a", "b"]) == ["a", "b"]
