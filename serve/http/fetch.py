"""Pictures and recordings by URL: refused, but for the hosts that the configuration lists.

A service that fetches whatever it is told to is a way into the network that it runs in. So only listed hosts are asked,
redirects are not followed, and no more is read than a body may have.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from pydantic import BaseModel

from deployments.errors import InvalidInput, ServiceError, TooLarge
from deployments.media.content import Media


class Fetcher:
    """Gets the media that a request names by URL.

    Args:
        hosts: `host` for its usual ports, or `host:port`.
        max_bytes: of one file.
        timeout_s: for one file.
    """

    def __init__(self, hosts: tuple[str, ...], max_bytes: int, timeout_s: float) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def fetched(self, request: Any) -> Any:
        """The request with every URL among its inputs replaced by what lies there.

        Raises:
            InvalidInput: a host that is not listed, or one that does not give the file.
            TooLarge: the file has more than `max_bytes`.
            Where a client batch may be answered in part, the error stands in the input's place instead.
        """
        inputs: Any = getattr(request, "inputs", None)
        urls = list(dict.fromkeys(_urls(inputs)))
        if not urls:
            return request
        is_partial = request.partial and request.is_batch
        got = await asyncio.gather(*(self._fetch(url, is_partial) for url in urls))
        found = dict(zip(urls, got, strict=True))
        if is_partial:
            inputs = [_error_of(item, found) or item for item in inputs]
        return request.model_copy(update={"inputs": _with(inputs, found)})

    async def _fetch(self, url: str, is_partial: bool) -> Media | ServiceError:
        try:
            return await self._file(url)
        except ServiceError as error:
            if is_partial:
                return error
            raise

    async def _file(self, url: str) -> Media:
        self._require_listed(url)
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=False, timeout=self._timeout_s, trust_env=False)
        pieces, size = [], 0
        try:
            async with self._client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise InvalidInput(f"inputs: {url} answered {answer.status_code}, not 200")
                async for piece in answer.aiter_bytes():
                    size += len(piece)
                    if size > self._max_bytes:
                        raise TooLarge(f"inputs: {url} has more than {self._max_bytes:,} bytes")
                    pieces.append(piece)
        except httpx.HTTPError as error:
            raise InvalidInput(f"inputs: {url} cannot be fetched ({type(error).__name__})") from error
        return Media(b"".join(pieces))

    def _require_listed(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"inputs: not a URL ({error})") from error
        named = parsed.netloc.decode("ascii", "replace").rpartition("@")[2].lower()
        if named not in self._hosts:
            raise InvalidInput(
                f"inputs: URLs of {named} are not fetched; send the file itself, or list the host in `media.allow_urls`"
            )


def _urls(value: Any) -> Iterator[str]:
    """Of all media among a request's inputs, however deep in lists and objects."""
    if isinstance(value, Media):
        if value.url is not None:
            yield value.url
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _urls(getattr(value, name))


def _error_of(value: Any, fetched: Mapping[str, Media | ServiceError]) -> ServiceError | None:
    """What went wrong with the first of an input's media that is not to be had."""
    return next((found for url in _urls(value) if isinstance(found := fetched[url], ServiceError)), None)


def _with(value: Any, fetched: Mapping[str, Media | ServiceError]) -> Any:
    """The same inputs with files where there were URLs."""
    if isinstance(value, Media):
        return value if value.url is None else fetched[value.url]
    if isinstance(value, list):
        return [_with(item, fetched) for item in value]
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _with(getattr(value, name), fetched) for name in value.model_fields_set})
    return value
