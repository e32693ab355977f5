"""Asks a model over HTTP: one request at a time, all at once, and all in client batches in another order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import httpx

from serve.cli.parity.comparison import Failure
from serve.config.service import Limits

AT_ONCE = 64  # requests at most
BATCH = 16  # inputs of a client batch


class Asking:
    """The requests of one model.

    Args:
        client: of the service, or of one model's application.
        path: of the model.
        fields: of every request, beside `inputs`.
        limits: of the service.
        wraps: the answer to a single input is a list with one entry.
        seed: of the other order.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        path: str,
        fields: Mapping[str, Any],
        limits: Limits,
        *,
        wraps: bool,
        seed: int = 0,
    ) -> None:
        self._client = client
        self._path = path
        self._fields = fields
        self._places = asyncio.Semaphore(min(AT_ONCE, limits.max_waiting))
        self._batch_size = min(BATCH, limits.max_batch_items)
        self._wraps = wraps
        self._seed = seed

    async def alone(self, inputs: Sequence[Any]) -> list[Any]:
        """The answers, or a `Failure` each, to requests that are sent one after the other."""
        return [await self._one(each) for each in inputs]

    async def crowd(self, inputs: Sequence[Any]) -> list[Any]:
        """The same to requests that are all under way at once."""
        return await asyncio.gather(*map(self._one, inputs))

    async def reordered(self, inputs: Sequence[Any]) -> list[Any]:
        """The same to client batches of at most `BATCH` inputs in another order, all at once."""
        size = self._batch_size
        order = Random(self._seed).sample(range(len(inputs)), len(inputs))
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        answers: list[Any] = [None] * len(inputs)
        found = await asyncio.gather(*(self._batch(inputs, batch) for batch in batches))
        for batch, own in zip(batches, found, strict=True):
            for place, answer in zip(batch, own, strict=True):
                answers[place] = answer
        return answers

    async def _one(self, inputs: Any) -> Any:
        answer = await self._ask(inputs)
        if not self._wraps or isinstance(answer, Failure):
            return answer
        return answer[0] if isinstance(answer, list) and len(answer) == 1 else Failure("not a list with one entry")

    async def _batch(self, inputs: Sequence[Any], batch: Sequence[int]) -> list[Any]:
        answer = await self._ask([inputs[place] for place in batch])
        if isinstance(answer, list) and len(answer) == len(batch):
            return answer
        return [answer if isinstance(answer, Failure) else Failure(f"not a list of {len(batch)} answers")] * len(batch)

    async def _ask(self, inputs: Any) -> Any:
        try:
            async with self._places:
                response = await self._client.post(self._path, json={"inputs": inputs, **self._fields})
        except httpx.HTTPError as error:
            return Failure(f"no answer ({type(error).__name__}: {error})")
        if response.status_code != 200:
            return Failure(f"status {response.status_code}: {_error(response)}")
        return response.json()


def _error(response: httpx.Response) -> str:
    read: Callable[[], Any] = response.json
    try:
        return str(read()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
