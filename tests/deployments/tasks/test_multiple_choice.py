"""multiple-choice against a direct call of the model with all choices at once."""

import pytest
import torch
from pydantic import ValidationError

from deployments.errors import InvalidInput
from deployments.tasks.multiple_choice import MultipleChoice, Request
from tests.checkpoints import Checkpoints, load_task, run_rows

PROMPT = "The river rose in the night and the old bridge was gone."
CHOICES = ["They sent a boy for timber and rope.", "🙂", "Paris is the capital of France. " * 4, "she laughed"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def bert(checkpoints):
    return load_task(MultipleChoice, checkpoints.of(MultipleChoice, "bert"))


def ask(task, prompt, choices, **parameters):
    request = Request.model_validate({"inputs": {"prompt": prompt, "choices": choices}, "parameters": parameters})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, run_rows(task, prepared.rows, prepared.params))


def directly(task, prompt, choices):
    """Shares of the choices, one call of the plain model per choice (some models answer otherwise when padded)."""
    layout, model = task.layout, task.checkpoint.model
    layout.detach()
    with torch.inference_mode():
        encoded = [task.tokenizer(prompt, choice, truncation=True, return_tensors="pt") for choice in choices]
        logits = [model(**{name: tensor[None] for name, tensor in one.items()}).logits for one in encoded]
    layout.attach()
    return torch.cat(logits, dim=1).softmax(-1)[0].tolist()


def test_shares_are_those_of_the_plain_model(checkpoints):
    task = load_task(MultipleChoice, checkpoints.of(MultipleChoice, "bert"))
    answer = ask(task, PROMPT, CHOICES)
    expected = directly(task, PROMPT, CHOICES)
    assert [entry["score"] for entry in answer] == sorted((entry["score"] for entry in answer), reverse=True)
    for entry in answer:
        assert entry["choice"] == CHOICES[entry["index"]]
        assert entry["score"] == pytest.approx(expected[entry["index"]], abs=1e-4)
    assert sorted(entry["index"] for entry in answer) == [0, 1, 2, 3]


def test_a_summary_of_the_last_token_forbids_padding(checkpoints):
    """RoFormer's multiple choice reads the last position, which in a padded batch is padding."""
    assert load_task(MultipleChoice, checkpoints.of(MultipleChoice, "roformer")).layout.name == "same-length"


def test_padded_equals_packed(checkpoints):
    answers = [
        ask(load_task(MultipleChoice, checkpoints.of(MultipleChoice, "distilbert"), layout), PROMPT, CHOICES)
        for layout in ("packed", "padded")
    ]
    for one, other in zip(*answers, strict=True):
        assert one["index"] == other["index"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_each_choice_is_a_row_that_may_run_anywhere(bert):
    request = Request.model_validate({"inputs": {"prompt": PROMPT, "choices": CHOICES}})
    prepared = bert.preprocess(request)
    assert len(prepared.rows) == len(CHOICES)
    assert {row.inputs["token_type_ids"][-1] for row in prepared.rows} == {1}
    together = bert.forward(prepared.rows, None)
    alone = [bert.forward([row], None)[0] for row in prepared.rows]
    assert together == pytest.approx(alone, abs=1e-5)


def test_equal_choices_keep_their_order(bert):
    assert [entry["index"] for entry in ask(bert, "a", ["same", "same", "same"])] == [0, 1, 2]


def test_a_single_prompt_is_not_wrapped_in_a_list(bert):
    body = {"prompt": "a", "choices": ["b", "c"]}
    assert bert.join(Request.model_validate({"inputs": body}), ["shares"]) == "shares"
    assert bert.join(Request.model_validate({"inputs": [body]}), ["shares"]) == ["shares"]


def test_the_longer_text_is_cut_first(bert):
    request = Request.model_validate({"inputs": {"prompt": "river " * 300, "choices": ["she laughed", "the mill"]}})
    prepared = bert.preprocess(request)
    assert prepared.truncated
    assert [row.length for row in prepared.rows] == [128, 128]
    whole = bert.tokenizer("she laughed", add_special_tokens=False)["input_ids"]
    assert prepared.rows[0].inputs["input_ids"][-1 - len(whole) : -1] == whole
    with pytest.raises(InvalidInput, match=r"inputs\.prompt with choices\[0\] has \d+ tokens"):
        ask(bert, "river " * 300, ["a", "b"], truncate=False)


@pytest.mark.parametrize(
    ("prompt", "choices", "message"),
    [("", ["a", "b"], r"inputs\.prompt is empty"), ("a", ["b", " "], r"inputs\.choices\[1\] is empty")],
)
def test_empty_texts(bert, prompt, choices, message):
    with pytest.raises(InvalidInput, match=message):
        ask(bert, prompt, choices)


@pytest.mark.parametrize("choices", [[], ["one"], ["x"] * 65, "ab", [1, 2]])
def test_impossible_choices(choices):
    with pytest.raises(ValidationError, match=r"inputs\.Question\.choices"):
        Request.model_validate({"inputs": {"prompt": "a", "choices": choices}})
