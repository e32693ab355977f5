"""Batched = alone, for every task of pictures and sound in every layout that it has."""

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from deployments.contract.task import Task
from deployments.layouts.task import ForwardTask
from deployments.registry import KINDS
from deployments.text.two_towers import TwoTowers
from tests.checkpoints import load_task, run_rows
from tests.contract.requests import assert_equal
from tests.media_checkpoints import (
    AUDIO_FAMILIES,
    CTC_FAMILIES,
    IMAGE_FAMILIES,
    LAYOUTS,
    MediaCheckpoints,
    assert_best_layout,
)
from tests.media_requests import ask_together, pictures, png, recordings, wav

# A model with two towers reads texts, too, and has families and tests of its own.
MEDIA_KINDS = [
    kind
    for kind in KINDS
    if kind.medium != "text" and issubclass(kind, ForwardTask) and not issubclass(kind, TwoTowers)
]


def families(kind: type[Task[Any, Any]]) -> tuple[str, ...]:
    if kind.medium == "image":
        return IMAGE_FAMILIES
    return CTC_FAMILIES if kind.auto_model == "AutoModelForCTC" else AUDIO_FAMILIES


every_kind = pytest.mark.parametrize("kind", MEDIA_KINDS, ids=lambda kind: kind.__name__)
# Of each layout that a kind has, its first family: every family's answers in a batch are those of transformers, as the
# tests of the tasks show.
every_layout = pytest.mark.parametrize(
    ("kind", "family"),
    [
        (kind, family)
        for kind in MEDIA_KINDS
        for family in {LAYOUTS[each]: each for each in reversed(families(kind))}.values()
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
# WavLM's attention gives torch a mask of booleans beside one of floats.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("contract"))


def requests_of(kind: type[Task[Any, Any]]) -> list[Any]:
    media = [png(image) for image in pictures()] if kind.medium == "image" else [wav(each) for each in recordings()]
    return [kind.request.model_validate({"inputs": each}) for each in media]


def as_json(answer: Any) -> Any:
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


@every_layout
def test_batched_is_alone(checkpoints, kind, family, monkeypatch):
    task = load_task(kind, checkpoints.of(kind, family))
    assert_best_layout(task, family)
    batches: list[list[int]] = []
    forward = task.forward
    monkeypatch.setattr(task, "forward", lambda rows, params: batches.append(lengths(rows)) or forward(rows, params))
    requests = requests_of(kind)
    together = ask_together(task, requests)
    assert max(map(len, batches)) > 1
    assert any(len(set(batch)) > 1 for batch in batches) == (task.layout.name == "padded")
    answers = []
    for request, answer in zip(requests, together, strict=True):
        assert_equal(as_json(answer), as_json(ask_together(task, [request])[0]))
        TypeAdapter(kind.response).validate_python(as_json(task.join(request, [answer])))
        answers.append(orjson.dumps(as_json(answer)))
    assert len(set(answers)) > len(answers) / 2  # equal because right, not because dull


def lengths(rows: Any) -> list[int]:
    return [row.length for row in rows]


@every_kind
def test_the_forced_alone_gives_the_same(checkpoints, kind):
    family = families(kind)[1]
    chosen, alone = (load_task(kind, checkpoints.of(kind, family), layout=name) for name in ("auto", "alone"))
    for request in requests_of(kind)[2:5]:
        rows = chosen.preprocess(request).rows
        params = chosen.preprocess(request).params
        assert_equal(as_json(run_rows(chosen, rows, params)), as_json(run_rows(alone, rows, params)))


@every_kind
def test_a_longer_example_is_no_less_work(checkpoints, kind):
    task = load_task(kind, checkpoints.of(kind, families(kind)[1]), layout=None)
    costs = [sum(task.cost(row) for row in task.preprocess(task.sized_example(words)).rows) for words in (1, 30, 90)]
    assert costs == sorted(costs)
    assert len(set(costs)) == (1 if kind.medium == "image" else 3)
