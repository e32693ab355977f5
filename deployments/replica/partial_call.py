"""PartialCall: a client batch whose bad items leave the others their answers.

In the place of an item that cannot be answered stands `{"error", "error_type", "status"}`, as it would get alone. What
concerns the whole request (too many rows, no time left) fails it as ever.
"""

from typing import Any

from deployments.batching.job import Job
from deployments.contract.task import Prepared
from deployments.errors import DeadlineExceeded, ServiceError, Unavailable
from deployments.replica.call import Call

Refusal = dict[str, Any]


class PartialCall(Call):
    """One request. An item that could not even be read stands among the inputs as its error."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._errors_by_place: dict[int, Refusal] = {}
        self._places: list[int] = []  # of what was prepared, among the items

    def _preprocess(self, index: int, item: Any) -> Prepared | None:
        try:
            if isinstance(item.inputs, ServiceError):
                raise item.inputs
            prepared = self._task.preprocess(item)
        except ServiceError as error:
            self._errors_by_place[index] = _error_body(error)
            return None
        self._places.append(index)
        return prepared

    def _tolerates(self, error: BaseException) -> bool:
        return isinstance(error, ServiceError) and not isinstance(error, DeadlineExceeded | Unavailable)

    def _answers(self) -> list[Any]:
        answers: dict[int, Any] = dict(self._errors_by_place)
        done: list[tuple[Prepared, Job]] = []
        for place, prepared, job in zip(self._places, self._prepared, self._jobs, strict=True):
            try:
                if job.error is not None:
                    raise job.error
                answers[place] = self._task.postprocess(self._items[place], prepared, job.outputs)
                done.append((prepared, job))
            except ServiceError as error:
                answers[place] = _error_body(error)
        self._prepared, self._jobs = [prepared for prepared, _ in done], [job for _, job in done]
        return [answers[place] for place in range(len(self._items))]


def _error_body(error: ServiceError) -> Refusal:
    return {"error": error.message, "error_type": error.error_type, "status": error.status}
