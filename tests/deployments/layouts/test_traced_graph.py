"""A recorded call is the model's call, to the last bit, and where it would not be, the model itself is called."""

import numpy as np
import pytest
import torch
from transformers import BertModel

from deployments.contract.task import Row
from deployments.layouts.check import choose_layout
from deployments.layouts.traced_graph import NotTraceable, TracedCalls
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.fill_mask import FillMask
from deployments.tasks.multiple_choice import MultipleChoice
from deployments.tasks.question_answering import QuestionAnswering
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.token_classification import TokenClassification
from tests.checkpoints import POSITIONS, Checkpoints, load_task

PACKED = ("bert", "roberta", "xlm-roberta", "camembert", "albert", "distilbert", "electra", "modernbert")
TASKS = (FeatureExtraction, FillMask, MultipleChoice, QuestionAnswering, TextClassification, TokenClassification)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def load(checkpoints):
    def load(task=FeatureExtraction, family="bert", **config):
        return load_task(task, checkpoints.of(task, family), layout=None, **config)

    return load


def packs(task, count=12, seed=1):
    """Packs of rows that the check has not seen: one to thirty rows of any length."""
    random = np.random.default_rng(seed)
    vocabulary = task.checkpoint.model.config.vocab_size
    lengths = [random.integers(1, POSITIONS, random.integers(1, 30)).tolist() for _ in range(count)]
    return [[Row({"input_ids": random.integers(5, vocabulary, n).tolist()}, n) for n in pack] for pack in lengths]


def assert_same(batch, expected):
    """Names, class and every bit."""
    assert type(batch.output) is type(expected.output)
    assert list(batch.output) == list(expected.output)
    for name, tensor in batch.output.items():
        assert torch.equal(tensor, expected.output[name]), name
    assert batch.lengths == expected.lengths


class Counted:
    """Counts how often Python runs a module."""

    def __init__(self, module):
        self.count = 0
        module.register_forward_pre_hook(self._count)

    def _count(self, *_):
        self.count += 1


@pytest.mark.parametrize("family", PACKED)
def test_packs_of_any_shape_to_the_last_bit(load, family):
    task = load(family=family)
    assert choose_layout(task).trace == (True, None)
    for pack in packs(task):
        traced = task.layout.run(pack)
        calls, task.layout.calls = task.layout.calls, TracedCalls(task.checkpoint.model, ())
        assert_same(traced, task.layout.run(pack))
        task.layout.calls = calls


@pytest.mark.parametrize("kind", TASKS)
def test_every_head_is_recorded(load, kind):
    choice = choose_layout(load(kind))
    assert (choice.layout, choice.trace) == ("packed", (True, None))


def test_no_python_runs_in_the_model(load):
    task = load()
    choose_layout(task)
    counted = Counted(task.checkpoint.model.encoder)
    for pack in packs(task, 3):
        task.layout.run(pack)
    assert counted.count == 0


def test_without_recording(load):
    task = load(batching={"record": False})
    assert choose_layout(task).trace == (False, None)
    counted = Counted(task.checkpoint.model.encoder)
    task.layout.run(packs(task, 1)[0])
    assert counted.count == 1


def test_a_value_that_depends_on_the_input_is_not_recorded(load, monkeypatch):
    whole = BertModel.forward

    def peeking(self, input_ids, **inputs):
        length = int(input_ids.ne(-1).sum())  # a number of the graph is what this would be
        output = whole(self, input_ids, **inputs)
        output.last_hidden_state = output.last_hidden_state * (length / length)
        return output

    monkeypatch.setattr(BertModel, "forward", peeking)
    task = load()
    tracing = choose_layout(task, "packed").trace
    assert not tracing.taken
    assert tracing.refused.startswith(f"{NotTraceable.__name__}: layouts/test_traced_graph.py:")


def test_a_recording_that_differs_is_not_taken(load, monkeypatch):
    """A seed of the recording, which torch has no reason to warn of."""
    whole = BertModel.forward

    def drifting(self, *args, **inputs):
        output = whole(self, *args, **inputs)
        if torch.jit.is_tracing():
            output.last_hidden_state = output.last_hidden_state + 1e-6
        return output

    monkeypatch.setattr(BertModel, "forward", drifting)
    task = load()
    tracing = choose_layout(task).trace
    assert not tracing.taken
    assert "outputs differ from the model's by" in tracing.refused
    counted = Counted(task.checkpoint.model.encoder)
    task.layout.run(packs(task, 1)[0])
    assert counted.count == 1


def test_where_torch_records_nothing_models_run_as_they_are(load, monkeypatch):
    def gone(*_, **__):
        raise AttributeError("module 'torch.jit' has no attribute 'trace'")

    monkeypatch.setattr(torch.jit, "trace", gone)
    task = load()
    choice = choose_layout(task)
    assert choice.layout == "packed"
    assert choice.trace == (False, "AttributeError: module 'torch.jit' has no attribute 'trace'")
    assert task.layout.run(packs(task, 1)[0]).output.last_hidden_state.isfinite().all()


def test_what_is_wrong_with_an_input_is_told_as_the_model_tells_it(load):
    task = load()
    choose_layout(task)
    pack = packs(task, 1)[0]
    expected = task.layout.run(pack)
    with pytest.raises(IndexError, match="index out of range in self"):
        task.layout.run([*pack, Row({"input_ids": [10**6]}, 1)])
    counted = Counted(task.checkpoint.model.encoder)
    assert_same(task.layout.run(pack), expected)
    assert counted.count == 0  # and still from the recording


def test_a_recording_that_fails_where_the_model_does_not_is_dropped(load, monkeypatch, caplog):
    task = load()
    choose_layout(task)
    counted = Counted(task.checkpoint.model.encoder)
    pack = packs(task, 1)[0]
    expected = task.layout.run(pack)
    graphs = type(next(iter(task.layout.calls._graphs.values())))

    def fail(*_):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(graphs, "__call__", fail)
    assert_same(task.layout.run(pack), expected)
    monkeypatch.undo()
    assert_same(task.layout.run(pack), expected)
    assert counted.count == 2
    assert "no longer used: no such operation" in caplog.text


def test_recording_leaves_the_model_as_it_was(load):
    task = load(family="roberta")
    model = task.checkpoint.model
    padding, weights = model.embeddings.word_embeddings.padding_idx, model.embeddings.word_embeddings.weight
    choose_layout(task)
    assert padding is not None
    assert model.embeddings.word_embeddings.padding_idx == padding
    assert model.embeddings.word_embeddings.weight is weights
    assert not model.training


def test_only_packed_layouts_are_recorded(load):
    choice = choose_layout(load(family="deberta-v2"))
    assert (choice.layout, choice.trace) == ("padded", (False, None))
    assert choose_layout(load(), "alone").trace == (False, None)
