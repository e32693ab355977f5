"""image-classification against transformers' own pipeline."""

import pytest

from deployments.errors import InvalidInput
from deployments.tasks.image_classification import ImageClassification, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import IMAGE_FAMILIES, LABELS, MediaCheckpoints, assert_best_layout
from tests.media_requests import ask, ask_together, picture, pictures, png


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def vit(checkpoints):
    return load_task(ImageClassification, checkpoints.of(ImageClassification, "vit"))


@pytest.fixture(scope="module")
def vit_pipeline(checkpoints):
    return pipeline_of(checkpoints.of(ImageClassification, "vit"))


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("image-classification", model=str(folder), device="cpu", dtype="float32")


def assert_same(ours, theirs, tolerance=1e-4):
    assert [label["label"] for label in ours] == [label["label"] for label in theirs]
    assert [label["score"] for label in ours] == pytest.approx([label["score"] for label in theirs], abs=tolerance)


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_pictures_of_all_sizes_together_are_answered_as_by_the_pipeline(checkpoints, family):
    folder = checkpoints.of(ImageClassification, family)
    task, pipeline = load_task(ImageClassification, folder), pipeline_of(folder)
    assert_best_layout(task, family)
    answers = ask_together(task, [Request(inputs=png(image)) for image in pictures()])
    for image, answer in zip(pictures(), answers, strict=True):
        assert_same(answer, pipeline(image))
    assert len({round(answer[0]["score"], 3) for answer in answers}) > len(answers) / 2  # no dull model


def test_a_teacher_is_asked_where_the_checkpoint_has_one(checkpoints):
    """DeiT has two heads; which of the classes is meant, the checkpoint's `architectures` says."""
    name = "DeiTForImageClassificationWithTeacher"
    folder = checkpoints.of(ImageClassification, "deit", architectures=[name])
    task, pipeline = load_task(ImageClassification, folder), pipeline_of(folder)
    assert type(task.checkpoint.model).__name__ == name
    for image in pictures():
        assert_same(ask(task, png(image)), pipeline(image))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA"])
def test_every_kind_of_picture(vit, vit_pipeline, mode):
    image = picture(50, 40, mode, seed=3)
    assert_same(ask(vit, png(image)), vit_pipeline(image))


def test_a_transparent_palette(vit, vit_pipeline):
    image = picture(50, 40, "P", seed=4)
    image.info["transparency"] = 0
    assert_same(ask(vit, png(image, transparency=0)), vit_pipeline(image))


@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
def test_each_function(vit, vit_pipeline, function):
    image = picture(50, 40)
    assert_same(
        ask(vit, png(image), parameters={"function_to_apply": function}),
        vit_pipeline(image, function_to_apply=function),
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"num_labels": 3, "problem_type": "single_label_classification"},
        {"num_labels": 2, "problem_type": "regression"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 3},
    ],
    ids=str,
)
def test_the_function_follows_from_the_configuration_as_in_the_pipeline(checkpoints, settings):
    folder = checkpoints.of(ImageClassification, "resnet", **settings)
    task, pipeline = load_task(ImageClassification, folder), pipeline_of(folder)
    assert_same(ask(task, png(picture(50, 40))), pipeline(picture(50, 40)))


@pytest.mark.parametrize(("top_k", "labels"), [(None, 5), (1, 1), (7, 7), (1000, 7)])
def test_top_k(vit, vit_pipeline, top_k, labels):
    parameters = {} if top_k is None else {"top_k": top_k}
    answer = ask(vit, png(picture(50, 40)), parameters=parameters)
    assert len(answer) == labels <= len(LABELS)
    assert_same(answer, vit_pipeline(picture(50, 40), **parameters))


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (3, 301)])
def test_a_picture_of_an_impossible_shape_is_refused(vit, size):
    with pytest.raises(InvalidInput, match=r"inputs is an image of [\d,]+ x [\d,]+ pixels.*at most 100 times"):
        ask(vit, png(picture(*size)))


def test_half_precision_answers_nearly_the_same(checkpoints, vit):
    folder = checkpoints.of(ImageClassification, "vit")
    for dtype in ("float16", "bfloat16"):
        half = load_task(ImageClassification, folder, dtype=dtype)
        assert half.checkpoint.dtype == dtype
        for image in pictures()[3:6]:
            ours = {label["label"]: label["score"] for label in ask(half, png(image), parameters={"top_k": 7})}
            exact = {label["label"]: label["score"] for label in ask(vit, png(image), parameters={"top_k": 7})}
            assert ours == pytest.approx(exact, abs=5e-2)
