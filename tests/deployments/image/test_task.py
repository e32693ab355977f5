"""What the tasks that read pictures share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deployments.errors import InvalidInput, ServiceError
from deployments.image.task import EXAMPLE, sample_image
from deployments.media.content import Media
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction, Request
from deployments.tasks.image_classification import ImageClassification
from tests.checkpoints import load_task
from tests.media_checkpoints import IMAGE_FAMILIES, SIDE, MediaCheckpoints
from tests.media_requests import ask_together, picture, pictures, png


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def vit(checkpoints):
    return load_task(ImageClassification, checkpoints.of(ImageClassification, "vit"), layout="alone")


def test_cost_is_in_pixels_that_the_model_reads(vit):
    (row,) = vit.prepare(png(picture(300, 200))).rows
    assert row.inputs["pixel_values"].shape == (3, SIDE, SIDE)
    assert vit.cost(row) == SIDE * SIDE


def test_pictures_that_stay_of_several_shapes_share_a_batch_with_their_like(checkpoints):
    """A processor that only scales the shorter side leaves each picture its own shape."""
    folder = checkpoints.of(ImageFeatureExtraction, "convnext", image_size=SIDE)
    task = load_task(ImageFeatureExtraction, folder, layout=None)
    task.checkpoint.processor.size = {"shortest_edge": 400}  # from 384 on it does not crop
    task.checkpoint.processor.do_resize = False
    task.layout = task.layouts()[0]
    requests = [Request(inputs=png(picture(*size))) for size in ((64, 32), (32, 64), (64, 32), (32, 32))]
    prepared = [task.preprocess(request) for request in requests]
    assert len({item.params for item in prepared}) == 3
    assert prepared[0].params == prepared[2].params
    together = ask_together(task, requests)
    assert [answer.shape[1:] for answer in together] == [(1, 2), (2, 1), (1, 2), (1, 1)]
    for item, answer in zip(prepared, together, strict=True):
        np.testing.assert_allclose(task.forward(item.rows, item.params)[0], answer, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 101), (101, 1), (20_000, 1), (201, 2)])
def test_impossible_shapes(vit, size):
    with pytest.raises(InvalidInput, match=f"{size[0]:,} x {size[1]:,} pixels"):
        vit.prepare(png(picture(*size)))


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1)])
def test_shapes_that_are_just_possible(vit, size):
    (row,) = vit.prepare(png(picture(*size))).rows
    assert np.isfinite(row.inputs["pixel_values"]).all()


@pytest.mark.parametrize("data", [b"", b"no picture", png(picture(9, 9)).data[:60]])
def test_what_is_no_picture(vit, data):
    with pytest.raises(ServiceError, match="inputs") as caught:
        vit.prepare(Media(data))
    assert caught.value.status in (415, 422)


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_processors_work_on_several_threads(checkpoints, family):
    task = load_task(ImageFeatureExtraction, checkpoints.of(ImageFeatureExtraction, family), layout=None)
    media = [png(image) for image in pictures()]
    serial = [task.prepare(each).rows[0].inputs["pixel_values"] for each in media]
    with ThreadPoolExecutor(4) as threads:
        for round_of_all in threads.map(lambda _: [task.prepare(each) for each in media], range(8)):
            for prepared, expected in zip(round_of_all, serial, strict=True):
                np.testing.assert_array_equal(prepared.rows[0].inputs["pixel_values"], expected)


def test_examples():
    sample = Request.model_validate({"inputs": EXAMPLE}).inputs
    assert sample.data.startswith(b"\x89PNG")
    assert len({sample_image(side).data for side in range(16, 48)}) == 32
