"""What runs together."""

import threading
import time
import weakref

import pytest

from deployments.batching.selection import ArrivalOrder, NearestLength
from deployments.telemetry.measurements import BatchReport
from tests.deployments.batching.batcher.parts import Reports, busy
from tests.waiting import PATIENCE_S


def test_a_free_model_takes_a_row_at_once(model, caller, started):
    job = caller.job(1, 2)
    batcher = started()
    batcher.submit(job)
    caller.wait(job)
    assert job.outputs == [10, 20]
    assert job.error is None
    assert job.submitted <= job.started <= job.finished
    assert job.report == BatchReport(2, 2, 0.0, job.report.forward_s)


def test_a_free_model_takes_a_client_batch_at_once(model, caller, started):
    jobs = [caller.job(value) for value in range(3)]
    batcher = started()
    batcher.submit(*jobs)
    caller.wait(*jobs)
    assert model.batches == [[0, 1, 2]]


def test_what_arrives_while_the_model_is_busy_runs_together_in_arrival_order(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value) for value in range(1, 9)]
    for job in jobs:
        batcher.submit(job)
    assert batcher.waiting == 8
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]
    assert [job.outputs for job in jobs] == [[value * 10] for value in range(1, 9)]
    assert batcher.waiting == 0


@pytest.mark.parametrize(
    ("selection", "batches"),
    [
        (ArrivalOrder(1000, 3), [[1, 2, 3], [4, 5, 6], [7]]),
        (ArrivalOrder(8, 100), [[1, 2], [3, 4], [5, 6], [7]]),
        (ArrivalOrder(1, 100), [[1], [2], [3], [4], [5], [6], [7]]),
    ],
    ids=["max_rows", "max_cost", "each above the budget"],
)
def test_batches_keep_to_their_limits(model, caller, started, selection, batches):
    batcher = started(selection)
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, length=4) for value in range(1, 8)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches[1:] == batches


def test_params_never_mix(model, caller, started):
    batcher = started()
    first = busy(model, batcher, caller)
    jobs = [caller.job(value, params=value % 3) for value in range(1, 10)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert model.batches[1:] == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    assert model.params[1:] == [1, 2, 0]


def test_near_lengths_run_together_and_the_report_says_how_much_was_padding(model, caller, started):
    reports: list[BatchReport] = []
    batcher = started(
        NearestLength(1000, 100, 0.1),
        padding=lambda lengths: 1 - sum(lengths) / (max(lengths) * len(lengths)),
        observer=Reports(reports),
    )
    first = busy(model, batcher, caller)
    jobs = [caller.job(length, length=length) for length in (10, 50, 11, 49)]
    for job in jobs:
        batcher.submit(job)
    model.released.set()
    caller.wait(first, *jobs)
    assert [sorted(batch) for batch in model.batches[1:]] == [[10, 11], [49, 50]]
    assert [job.outputs for job in jobs] == [[100], [500], [110], [490]]
    assert [(report.rows, report.cost) for report in reports] == [(1, 1), (2, 21), (2, 99)]
    assert reports[1].padding_ratio == pytest.approx(1 / 22)
    assert jobs[0].report is reports[1]


def test_rows_of_one_job_may_run_in_several_batches(model, caller, started):
    job = caller.job(1, 2, 3, 4, 5)
    batcher = started(ArrivalOrder(1000, 2))
    first = busy(model, batcher, caller)
    batcher.submit(job)
    model.released.set()
    caller.wait(first, job)
    assert model.batches[1:] == [[1, 2], [3, 4], [5]]
    assert job.outputs == [10, 20, 30, 40, 50]
    assert caller.answered[job] == 1


def test_the_next_batch_is_taken_before_the_last_ones_answers_go_out(model, caller, started):
    """So that those who write the answers do not keep this thread from it; and they go out before it runs."""
    batcher = started()
    seen = []
    first, second = busy(model, batcher, caller), caller.job(1)
    done = first.done
    first.done = lambda job: (seen.append((batcher.waiting, len(model.batches))), done(job))
    batcher.submit(second)
    model.released.set()
    caller.wait(first, second)
    assert seen == [(0, 1)]


def test_outputs_are_let_go_before_the_next_batch_runs(caller, started):
    class Output:
        """May be pointed to weakly."""

    outputs, alive = [], []

    def forward(rows, params):
        assert entered.wait(PATIENCE_S)
        alive.append(sum(output() is not None for output in outputs))
        given = [Output() for _ in rows]
        outputs.extend(map(weakref.ref, given))
        return given

    entered = threading.Event()
    batcher = started(forward=forward)
    jobs = [caller.job(value, params=value) for value in range(3)]  # each a batch of its own
    for job in jobs:
        done = job.done
        job.done = lambda job, done=done: (job.outputs.clear(), done(job))
        batcher.submit(job)
    entered.set()
    caller.wait(*jobs)
    assert alive == [0, 0, 0]


def test_busy_since_tells_a_running_forward(model, caller, started):
    batcher = started()
    assert batcher.busy_since is None
    first = busy(model, batcher, caller)
    assert batcher.busy_since is not None
    assert batcher.busy_since <= time.monotonic()
    model.released.set()
    caller.wait(first)
    assert batcher.busy_since is None
