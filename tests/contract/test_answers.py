"""Batched = alone = the plain model, for every text task and every family; and the layout that each of them gets.

The plain model is transformers' own class, called with one row and nothing of ours around it.
"""

from typing import Any

import orjson
import pytest
import torch
from pydantic import TypeAdapter

from deployments.layouts.text import BatchOutput, Layout
from tests.checkpoints import FAMILIES, run_rows
from tests.contract.requests import TEXT_TASKS, assert_equal, requests_of

# Why not packed: MPNet, DeBERTa-v2, ConvBERT and RoFormer bring their own attention; MobileBERT embeds each token with
# its neighbours. Why not padded: to MobileBERT and ConvBERT padding is a neighbour like any other.
LAYOUTS = dict.fromkeys(FAMILIES, "packed") | {
    "mpnet": "padded",
    "deberta-v2": "padded",
    "roformer": "padded",
    "mobilebert": "same-length",
    "convbert": "same-length",
}
EXCEPTIONS = {("multiple-choice", "roformer"): "same-length"}  # it reads the last position, padding or not

every_task = pytest.mark.parametrize("kind", TEXT_TASKS, ids=lambda kind: kind.name)
every_family = pytest.mark.parametrize("family", FAMILIES)

WORDS = (1, 40, 2, 3, 90, 5, 8, 8, 8, 13, 21, 300)


class Plain(Layout):
    """One row, straight into transformers' class: no hook, no padding, no attention of ours."""

    name = "plain"

    def run(self, rows):
        (row,) = rows
        tensors = {name: torch.tensor([values]) for name, values in row.inputs.items()}
        with torch.inference_mode():
            output = self.model(**{name: t[None] if self.nested else t for name, t in tensors.items()})
        return BatchOutput(output, [row.length])

    def selection(self, batching, device):
        raise NotImplementedError


def outputs_of_plain_model(task: Any, rows: Any) -> list[Any]:
    chosen = task.layout
    chosen.detach()
    task.layout = Plain(task.checkpoint.model, nested=task.nested)
    try:
        return [task.forward([row], None)[0] for row in rows]
    finally:
        task.layout = chosen
        chosen.attach()


def as_json(answer: Any) -> Any:
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


@every_task
@every_family
def test_batched_is_alone_is_the_plain_model_in_the_best_layout_that_holds(loaded, kind, family):
    task = loaded(kind, family)
    assert task.layout.name == EXCEPTIONS.get((kind.name, family), LAYOUTS[family])
    requests = requests_of(task, WORDS)
    prepared = [task.preprocess(request) for request in requests]
    assert {item.params for item in prepared} == {None}
    rows = [row for item in prepared for row in item.rows]
    together, alone = run_rows(task, rows), [run_rows(task, [row])[0] for row in rows]
    plain = outputs_of_plain_model(task, rows)
    assert len(together) == len(rows)
    first, answers = 0, []
    for request, item in zip(requests, prepared, strict=True):
        part = slice(first, first := first + len(item.rows))
        answer = as_json(task.postprocess(request, item, together[part]))
        assert_equal(answer, as_json(task.postprocess(request, item, alone[part])))
        assert_equal(answer, as_json(task.postprocess(request, item, plain[part])))
        TypeAdapter(kind.response).validate_python(as_json(task.join(request, [answer])))
        answers.append(answer)
    assert len({orjson.dumps(answer) for answer in answers}) > len(answers) / 2  # equal because right, not because dull


@every_task
def test_rows_are_what_the_tokenizer_gives(loaded, kind):
    """Nothing but the tokenizer's own output goes into the model, however the task splits a text."""
    task = loaded(kind, "bert")
    for request in requests_of(task, (1, 5, 60)):
        for row in task.preprocess(request).rows:
            assert set(row.inputs) == {"input_ids", "token_type_ids"}
            assert {len(values) for values in row.inputs.values()} == {row.length}
            assert row.inputs["input_ids"][0] == task.tokenizer.cls_token_id
            assert row.inputs["input_ids"][-1] == task.tokenizer.sep_token_id
            assert row.length <= task.max_length


@every_task
def test_a_longer_example_makes_more_work(loaded, kind):
    task = loaded(kind, "bert")
    costs = [sum(task.cost(row) for row in task.preprocess(task.sized_example(words)).rows) for words in (1, 8, 32)]
    assert costs == sorted(set(costs))
