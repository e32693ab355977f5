"""text-classification against transformers' own pipeline."""

from functools import cache

import pytest

from deployments.errors import InvalidInput
from deployments.tasks.text_classification import Request, TextClassification
from tests.checkpoints import Checkpoints, load_task

TEXTS = ("What a wonderful film: I laughed, I cried.", "a", "Crème brûlée 🙂 שלום", "The worst meal of my life. " * 5)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def bert(checkpoints):
    return load_task(TextClassification, checkpoints.of(TextClassification, "bert", num_labels=4))


def ask(task, item, **parameters):
    request = Request.model_validate({"inputs": item, "parameters": parameters})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, task.forward(prepared.rows, prepared.params))


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("text-classification", model=str(folder), device="cpu", dtype="float32")


def assert_same(ours, theirs):
    assert [label["label"] for label in ours] == [label["label"] for label in theirs]
    assert [label["score"] for label in ours] == pytest.approx([label["score"] for label in theirs], abs=1e-5)


@pytest.fixture(scope="module")
def pair_of(checkpoints):
    """A family's task and transformers' pipeline, loaded once."""

    @cache
    def pair(family):
        folder = checkpoints.of(TextClassification, family, num_labels=4)
        return load_task(TextClassification, folder), pipeline_of(folder)

    return pair


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])  # of each tokenizer one
@pytest.mark.parametrize("function", [None, "softmax", "sigmoid", "none"])
def test_answers_are_the_pipelines(pair_of, family, function):
    task, pipeline = pair_of(family)
    for text in TEXTS:
        assert_same(
            ask(task, text, function_to_apply=function),
            pipeline(text, top_k=None, function_to_apply=function),
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
    folder = checkpoints.of(TextClassification, "bert", **settings)
    task, pipeline = load_task(TextClassification, folder), pipeline_of(folder)
    assert_same(ask(task, TEXTS[0]), pipeline(TEXTS[0], top_k=None))


def test_a_pair_is_read_as_one_row(checkpoints, bert):
    pipeline = pipeline_of(checkpoints.of(TextClassification, "bert", num_labels=4))
    pair = {"text": "A man plays a guitar.", "text_pair": "Two women are dancing."}
    assert_same(ask(bert, pair), pipeline(pair, top_k=None))
    assert ask(bert, pair) != ask(bert, pair["text"])


def test_top_k(bert):
    every = ask(bert, TEXTS[0])
    assert len(every) == 4
    assert ask(bert, TEXTS[0], top_k=2) == every[:2]
    assert ask(bert, TEXTS[0], top_k=9) == every


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_cut_on_the_asked_side(checkpoints, bert, side):
    words = [f"river{'' if i % 3 else ' rose'}" for i in range(300)]
    text = " ".join(["wonderful", *words, "worst"])
    pipeline = pipeline_of(checkpoints.of(TextClassification, "bert", num_labels=4))
    pipeline.tokenizer.truncation_side = side
    assert_same(ask(bert, text, truncation_direction=side), pipeline(text, top_k=None, truncation=True))
    assert bert.preprocess(Request.model_validate({"inputs": text})).truncated


def test_a_long_text_that_must_not_be_cut_is_refused(bert):
    with pytest.raises(InvalidInput, match=r"inputs has 302 tokens; the model reads at most 128"):
        ask(bert, "the " * 300, truncate=False)


def test_the_configured_length_is_a_limit(checkpoints):
    folder = checkpoints.of(TextClassification, "bert", num_labels=4)
    task = load_task(TextClassification, folder, max_length=16)
    assert task.preprocess(Request(inputs="the " * 300)).rows[0].length == 16


def test_positions_limit_the_length_where_the_tokenizer_does_not(checkpoints):
    """RoBERTa counts positions from behind its padding index: of 130 it reads 128."""
    task = load_task(TextClassification, checkpoints.of(TextClassification, "roberta", num_labels=4), layout=None)
    task.tokenizer.model_max_length = 10**30
    assert TextClassification(task.checkpoint).max_length == 128


def test_an_answer_is_a_list_per_input_also_for_one(bert):
    request = Request(inputs="a")
    assert bert.join(request, [["x"]]) == [["x"]]
