"""Task, alias or model name to application and path."""

import pytest

from deployments.errors import NotFound
from deployments.registry import find_task
from deployments.tasks.feature_extraction_image_text import ImageTextFeatureExtraction
from serve.routes import RouteTable

TABLE = RouteTable(
    (model, find_task(task))
    for model, task in [("one", "fill-mask"), ("tagger", "token-classification"), ("two", "fill-mask")]
)


def test_the_first_model_of_a_task_answers_at_the_tasks_path() -> None:
    one, tagger, two = TABLE.routes
    assert (one.prefix, one.paths) == ("/tasks/fill-mask", ("/tasks/fill-mask", "/tasks/fill-mask/one"))
    assert (two.prefix, two.paths) == ("/tasks/fill-mask/two", ("/tasks/fill-mask/two",))
    assert tagger.is_default


def test_a_model_a_task_and_an_alias_are_found() -> None:
    assert TABLE.model("two").path == "/tasks/fill-mask/two"
    assert TABLE.task("fill-mask").model == "one"
    assert TABLE.task("fill-mask", "two").model == "two"
    assert TABLE.task("ner").model == "tagger"


def test_a_view_of_some_models_of_a_task_is_the_first_that_has_it() -> None:
    texts = find_task("feature-extraction")
    table = RouteTable([("texts", texts), ("towers", ImageTextFeatureExtraction), ("more", ImageTextFeatureExtraction)])
    assert table.task("zero-shot-image-classification").model == "towers"
    assert table.task("embeddings").model == table.task("feature-extraction").model == "texts"


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda: TABLE.model("tager"), "no model 'tager'; did you mean 'tagger'?"),
        (lambda: TABLE.model("zzz"), "no model 'zzz'; there are one, tagger, two"),
        (lambda: TABLE.task("fil-mask"), "no task 'fil-mask' is served; did you mean 'fill-mask'?"),
        (lambda: TABLE.task("question-answering"), "no task 'question-answering' is served"),
        (lambda: TABLE.task("fill-mask", "tagger"), "no model 'tagger' of the task fill-mask; there are one, two"),
    ],
)
def test_what_is_not_served_names_the_nearest(find: object, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        find()  # type: ignore[operator]
    assert message in caught.value.message
