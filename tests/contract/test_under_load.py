"""Every text task through a whole replica, with a hundred unlike requests in flight: the same answers as alone."""

import asyncio
from random import Random
from typing import Any

import orjson
import pytest

from deployments.config import ModelConfig, Resources
from deployments.errors import ForwardFailed, InvalidInput, ServiceError
from deployments.replica.replica import Replica
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.token_classification import TokenClassification
from tests.contract.requests import TEXT_TASKS, assert_equal, requests_of, with_texts
from tests.waiting import PATIENCE_S

every_task = pytest.mark.parametrize("kind", TEXT_TASKS, ids=lambda kind: kind.name)
# One family a layout: packed, packed with a sliding window and positions from 2, padded, same-length.
LAYOUTS = ("bert", "modernbert", "deberta-v2", "convbert")
# Every task, and every layout once: that all of them answer alike in every layout, test_answers.py shows.
tasks_and_layouts = pytest.mark.parametrize(
    ("kind", "family"),
    [*((kind, "bert") for kind in TEXT_TASKS), *((TokenClassification, family) for family in LAYOUTS[1:])],
    ids=lambda value: value if isinstance(value, str) else value.name,
)

IN_FLIGHT = 100


def render(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.fixture(scope="module")
def replicas(checkpoints):
    """`replicas(kind, family)`: a loaded replica, of one model each."""
    made = {}

    def load(kind, family):
        if (kind, family) not in made:
            config = ModelConfig(
                model=str(checkpoints.of(kind, family)), name="small", resources=Resources(cpu_threads=1), device="cpu"
            )
            replica = made[kind, family] = Replica(config, kind)
            replica.load()
        return made[kind, family]

    yield load
    for replica in made.values():
        replica.stop()


async def answer(replica: Replica, request: Any) -> Any:
    return await replica.predict(request, render, timeout_s=PATIENCE_S)


async def outcomes(replica: Replica, requests: list[Any]) -> list[Any]:
    """Answers (or errors) of requests that are all in flight together, in their order."""
    return await asyncio.gather(*(answer(replica, request) for request in requests), return_exceptions=True)


async def one_by_one(replica: Replica, requests: list[Any]) -> list[Any]:
    return [orjson.loads((await answer(replica, request)).body) for request in requests]


@tasks_and_layouts
def test_answers_in_a_crowd_are_the_answers_alone(replicas, kind, family):
    replica = replicas(kind, family)
    random = Random(7)
    different = requests_of(replica.task, [random.choice((1, 2, 3, 5, 9, 20, 60)) for _ in range(25)], seed=7)
    empty = with_texts(different[0], lambda text: " ")
    alone = asyncio.run(one_by_one(replica, different))
    order = [random.randrange(-2, len(different)) for _ in range(IN_FLIGHT)]  # below 0: one that cannot be answered
    crowd = asyncio.run(outcomes(replica, [different[i] if i >= 0 else empty for i in order]))
    for index, outcome in zip(order, crowd, strict=True):
        if index < 0:
            assert isinstance(outcome, InvalidInput)
        else:
            assert_equal(orjson.loads(outcome.body), alone[index])
    assert max(outcome.batch_rows for outcome in crowd if not isinstance(outcome, Exception)) > 1
    assert replica.in_flight == 0


@every_task
def test_a_client_batch_is_its_items_in_order(replicas, kind):
    replica = replicas(kind, "bert")
    singles = requests_of(replica.task, (3, 30, 1, 7, 7, 90))
    batch = singles[0].model_copy(update={"inputs": [single.inputs for single in singles]})
    lists = [single.model_copy(update={"inputs": [single.inputs]}) for single in singles]
    answers, (together,) = asyncio.run(one_by_one(replica, lists)), asyncio.run(one_by_one(replica, [batch]))
    assert_equal(together, [one for (one,) in answers])


@every_task
def test_a_bad_item_of_a_client_batch_is_named_and_refuses_only_its_own_request(replicas, kind):
    replica = replicas(kind, "bert")
    good, other = requests_of(replica.task, (3, 5))
    bad = with_texts(other, lambda text: "")
    batch = good.model_copy(update={"inputs": [good.inputs, bad.inputs]})
    before = asyncio.run(one_by_one(replica, [good]))
    refused, answered = asyncio.run(outcomes(replica, [batch, good]))
    assert isinstance(refused, InvalidInput)
    assert "inputs[1]" in refused.message
    assert_equal(orjson.loads(answered.body), before[0])


class Stumbling(TextClassification):
    """Its model raises whenever a certain token is in the batch."""

    def forward(self, rows, params):
        if any(self.tokenizer.unk_token_id in row.inputs["input_ids"] for row in rows):
            raise RuntimeError("stumbled")
        return super().forward(rows, params)


def test_a_row_that_the_model_fails_on_hurts_no_neighbour(replicas):
    replica = replicas(Stumbling, "bert")
    good = [replica.task.sized_example(words) for words in (2, 3, 4, 9, 20)]
    bad = with_texts(good[0], lambda text: "the ☃ river")
    alone = asyncio.run(one_by_one(replica, good))
    crowd = asyncio.run(outcomes(replica, [bad if i % 7 == 3 else good[i % 5] for i in range(70)]))
    for i, outcome in enumerate(crowd):
        if i % 7 == 3:
            assert isinstance(outcome, ForwardFailed)
        else:
            assert_equal(orjson.loads(outcome.body), alone[i % 5])


def test_requests_that_are_cancelled_leave_the_others_their_answers(replicas):
    replica = replicas(TextClassification, "bert")
    requests = requests_of(replica.task, range(1, 61))
    alone = asyncio.run(one_by_one(replica, requests))

    async def crowd() -> list[Any]:
        tasks = [asyncio.create_task(answer(replica, request)) for request in requests]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for index, outcome in enumerate(asyncio.run(crowd())):
        if index % 3 == 0:
            assert isinstance(outcome, asyncio.CancelledError)
        else:
            assert_equal(orjson.loads(outcome.body), alone[index])
    assert replica.in_flight == 0


def test_a_request_whose_time_is_over_gets_no_answer(replicas):
    replica = replicas(TextClassification, "bert")

    async def late() -> None:
        await replica.predict(replica.task.sized_example(3), render, timeout_s=0)

    with pytest.raises(ServiceError) as caught:
        asyncio.run(late())
    assert caught.value.status == 504
