"""PartialCall: a client batch in which invalid items do not fail the others.

The answer of an item that fails is `{"error", "error_type", "status"}`, as it would get alone. Errors of the whole
request (too many rows, no time left) fail all of it.
"""

from typing import Any

from deployments.batching.job import Job
from deployments.contract.task import Prepared
from deployments.errors import ServiceError
from deployments.replica.call import Call, is_of_one_item

ErrorBody = dict[str, Any]


class PartialCall(Call):
    """One request. The inputs of an item that could not be decoded are its error."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._errors_by_index: dict[int, ErrorBody] = {}  # by index of the item
        self._indices: list[int] = []  # of the preprocessed items

    def _preprocess(self, index: int, item: Any) -> Prepared | None:
        try:
            if isinstance(item.inputs, ServiceError):
                raise item.inputs
            prepared = self._task.preprocess(item)
        except ServiceError as error:
            self._errors_by_index[index] = _error_body(error)
            return None
        self._indices.append(index)
        return prepared

    def _tolerates(self, error: BaseException) -> bool:
        return is_of_one_item(error)

    def _answers(self) -> list[Any]:
        answers: dict[int, Any] = dict(self._errors_by_index)
        done: list[tuple[Prepared, Job]] = []
        for index, prepared, job in zip(self._indices, self._prepared, self._jobs, strict=True):
            try:
                if job.error is not None:
                    raise job.error
                answers[index] = self._task.postprocess(self._items[index], prepared, job.outputs)
                done.append((prepared, job))
            except ServiceError as error:
                answers[index] = _error_body(error)
        self._prepared, self._jobs = [prepared for prepared, _ in done], [job for _, job in done]
        return [answers[index] for index in range(len(self._items))]


def _error_body(error: ServiceError) -> ErrorBody:
    return {"error": error.message, "error_type": error.error_type, "status": error.status}
