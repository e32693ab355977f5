"""Asks a model over HTTP: one request at a time, all at once, and all in client batches in another order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import httpx

from serve.cli.parity.comparison import Failure

AT_ONCE = 64  # requests; a replica refuses more than limits.max_waiting
BATCH = 16  # inputs of a client batch


class Asking:
    """The requests of one model.

    Args:
        client: of the service, or of one model's application.
        path: of the model.
        fields: of every request, beside `inputs`.
        wraps: the answer to a single input is a list with one entry.
        seed: of the other order.
    """

    def __init__(
        self, client: httpx.AsyncClient, path: str, fields: Mapping[str, Any], *, wraps: bool, seed: int = 0
    ) -> None:
        self._client = client
        self._path = path
        self._fields = fields
        self._wraps = wraps
        self._seed = seed

    async def alone(self, inputs: Sequence[Any]) -> list[Any]:
        """The answers, or a `Failure` each, to requests that are sent one after the other."""
        return [await self._one(each) for each in inputs]

    async def crowd(self, inputs: Sequence[Any]) -> list[Any]:
        """The same to requests that are all under way at once."""
        places = asyncio.Semaphore(AT_ONCE)

        async def asked(each: Any) -> Any:
            async with places:
                return await self._one(each)

        return await asyncio.gather(*map(asked, inputs))

    async def reordered(self, inputs: Sequence[Any]) -> list[Any]:
        """The same to client batches of at most `BATCH` inputs in another order, all at once."""
        order = Random(self._seed).sample(range(len(inputs)), len(inputs))
        batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
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
