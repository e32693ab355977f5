"""A job ends once, whichever threads bring its last rows, its error, or both."""

from typing import Any

from deployments.batching.job import Job


class Interleaved:
    """A lock after whose first release another thread runs, before the one that held it goes on."""

    def __init__(self, other: Any) -> None:
        self._others = [other]

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._others:
            self._others.pop()()


def job_of_two() -> tuple[Job, list[Job]]:
    done: list[Job] = []
    job = Job(["a", "b"], [1, 1], None, done=done.append)
    job.queued()
    return job, done


def test_the_last_two_rows_at_once_finish_it_once() -> None:
    job, done = job_of_two()
    job.lock = Interleaved(lambda: job.set_output(1, "B", None))  # type: ignore[assignment]
    job.set_output(0, "A", None)
    assert done == [job]
    assert job.outputs == ["A", "B"]


def test_an_error_beside_a_row_finishes_it_once() -> None:
    job, done = job_of_two()
    error = RuntimeError()
    job.lock = Interleaved(lambda: job.settle(error))  # type: ignore[assignment]
    job.set_output(0, "A", None)
    job.set_output(1, "B", None)
    assert done == [job]
    assert job.error is error
    assert not job.settle()
