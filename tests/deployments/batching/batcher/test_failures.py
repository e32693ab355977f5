"""A failing row fails alone."""

import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from deployments.batching.selection import ArrivalOrder
from deployments.contract.task import Row
from deployments.errors import ForwardFailed, InvalidInput, TooLarge
from tests.deployments.batching.batcher.parts import busy


def test_a_failing_row_is_found_by_splitting_and_its_neighbours_are_answered(model, caller, started):
    def fail(values: list[int]) -> None:
        if 5 in values:
            raise RuntimeError("five is right out")

    model.fail = fail
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [job.outputs for job in jobs if job.error is None] == [[v * 10] for v in range(1, 9) if v != 5]
    assert isinstance(jobs[4].error, ForwardFailed)
    assert "five" not in jobs[4].error.message  # what the model said stays in the log
    assert len(model.batches) == 1 + 7  # halves, not one by one: 8, 4+4, 2+2, 1+1
    assert batcher.selection.max_cost == 1000


def test_all_rows_of_a_failing_job_are_dropped(model, caller, started):
    def fail(values: list[int]) -> None:
        if 1 in values:
            raise RuntimeError("no")

    model.fail = fail
    batcher = started(ArrivalOrder(1000, 1))
    first = busy(model, batcher, caller)
    job = caller.job(1, 2, 3)
    batcher.submit(job)
    model.released.set()
    caller.wait(first, job)
    last = caller.job(4)
    batcher.submit(last)
    caller.wait(last)
    assert model.batches == [[0], [1], [4]]
    assert caller.answered[job] == 1


def test_an_error_meant_for_the_caller_arrives_as_it_is(model, caller, started):
    def fail(values: list[int]) -> None:
        if 2 in values:
            raise InvalidInput("two is not a possible input")

    model.fail = fail
    batcher = started()
    job, neighbour = caller.job(2), caller.job(3)
    first = busy(model, batcher, caller)
    batcher.submit(job)
    batcher.submit(neighbour)
    model.released.set()
    caller.wait(first, job, neighbour)
    assert isinstance(job.error, InvalidInput)
    assert job.error.message == "two is not a possible input"
    assert neighbour.outputs == [30]


def test_out_of_memory_halves_the_budget_once_a_batch(model, caller, started):
    def fail(values: list[int]) -> None:
        if len(values) > 2:
            raise MemoryError

    model.fail = fail
    batcher = started(ArrivalOrder(64, 100))
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, length=4) for value in range(1, 17)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert all(job.error is None for job in jobs)
    assert [len(batch) for batch in model.batches[1:]] == [16, 8, 4, 2, 2, 4, 2, 2, 8, 4, 2, 2, 4, 2, 2]
    assert batcher.selection.max_cost == 32


def test_a_row_that_alone_needs_too_much_memory_is_refused_and_hurts_nobody(model, caller, started):
    def fail(values: list[int]) -> None:
        if 3 in values:
            raise MemoryError

    model.fail = fail
    batcher = started(ArrivalOrder(64, 100))
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [type(job.error) for job in jobs if job.error is not None] == [TooLarge]
    assert isinstance(jobs[2].error, TooLarge)
    assert batcher.selection.max_cost == 32  # not halved again at every split


def test_the_memory_of_a_failed_batch_is_free_before_its_halves_run(caller, started):
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def forward(rows: Sequence[Row], params: Any) -> list[Any]:
        alive.append(any(tensor() is not None for tensor in held))
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        if len(rows) > 1:
            raise MemoryError
        return [row.inputs["value"] for row in rows]

    job = caller.job(1, 2, 3, 4)
    started(forward=forward).submit(job)
    caller.wait(job)
    assert job.outputs == [1, 2, 3, 4]
    assert alive == [False] * 7


@pytest.mark.parametrize("outputs", [[], [1], [1, 2, 3]], ids=["none", "too few", "too many"])
def test_a_wrong_number_of_outputs_is_an_error_and_no_answer(caller, started, outputs):
    job = caller.job(1, 2)
    batcher = started(forward=lambda rows, params: outputs if len(rows) == 2 else [9] * (len(rows) + 1))
    batcher.submit(job)
    caller.wait(job)
    assert isinstance(job.error, ForwardFailed)


def test_a_row_with_an_unusable_output_fails_and_its_neighbours_are_not_run_again(model, caller, started):
    batcher = started(is_usable=lambda output: output != 50)
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [job.outputs for job in jobs if job.error is None] == [[v * 10] for v in range(1, 9) if v != 5]
    assert isinstance(jobs[4].error, ForwardFailed)
    assert "not finite" in jobs[4].error.message
    assert [len(batch) for batch in model.batches] == [1, 8]


def test_rows_that_another_spoils_are_answered_alone(caller, started):
    batches: list[int] = []

    def forward(rows: Sequence[Row], params: Any) -> list[Any]:
        values = [row.inputs["value"] for row in rows]
        batches.append(len(values))
        return [None] * len(values) if 3 in values else values

    jobs = [caller.job(value) for value in range(4)]
    batcher = started(forward=forward, is_usable=lambda output: output is not None)
    batcher.submit(*jobs)
    caller.wait(*jobs)
    assert [job.outputs for job in jobs[:3]] == [[0], [1], [2]]
    assert isinstance(jobs[3].error, ForwardFailed)
    assert batches == [4, 2, 2, 1, 1]
