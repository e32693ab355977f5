"""Images and audio by URL: fetched only from the hosts that the configuration lists.

A service that fetches any URL is a way into the network that it runs in. So only listed hosts are contacted, redirects
are not followed, and no more is read than a body may have.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from pydantic import BaseModel

from deployments.errors import InvalidInput, ServiceError, TooLarge
from deployments.media.content import Media


class Fetcher:
    """Fetches the media that a request names by URL.

    Args:
        hosts: `host` for the default ports, or `host:port`.
        max_bytes: of one file.
        timeout_s: for one file.
    """

    def __init__(self, hosts: tuple[str, ...], max_bytes: int, timeout_s: float) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None

    async def fetch(self, request: Any) -> Any:
        """The request with every URL among its inputs replaced by the file.

        In a `partial` batch, an error takes the place of its input instead of being raised.

        Raises:
            InvalidInput: the host is not listed, or does not return the file.
            TooLarge: the file has more than `max_bytes`.
        """
        inputs: Any = getattr(request, "inputs", None)
        urls = list(dict.fromkeys(_urls(inputs)))
        if not urls:
            return request
        is_partial = request.partial and request.is_batch
        results = await asyncio.gather(*(self._fetch_url(url, is_partial) for url in urls))
        files = dict(zip(urls, results, strict=True))
        if is_partial:
            inputs = [_error_of(item, files) or item for item in inputs]
        return request.model_copy(update={"inputs": _with_files(inputs, files)})

    async def _fetch_url(self, url: str, is_partial: bool) -> Media | ServiceError:
        try:
            return await self._download(url)
        except ServiceError as error:
            if is_partial:
                return error
            raise

    async def _download(self, url: str) -> Media:
        self._require_listed(url)
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=False, timeout=self._timeout_s, trust_env=False)
        chunks, size = [], 0
        try:
            async with self._client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise InvalidInput(f"inputs: {url} returned status {response.status_code}, not 200")
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    if size > self._max_bytes:
                        raise TooLarge(f"inputs: {url} has more than {self._max_bytes:,} bytes")
                    chunks.append(chunk)
        except httpx.HTTPError as error:
            raise InvalidInput(f"inputs: {url} cannot be fetched ({type(error).__name__})") from error
        return Media(b"".join(chunks))

    def _require_listed(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"inputs: not a URL ({error})") from error
        host = parsed.netloc.decode("ascii", "replace").rpartition("@")[2].lower()
        if host not in self._hosts:
            raise InvalidInput(
                f"inputs: {host} is not an allowed host; send the file itself, or add the host to `media.allow_urls`"
            )


def _urls(value: Any) -> Iterator[str]:
    """The URLs of all media among a request's inputs, however deeply nested."""
    if isinstance(value, Media):
        if value.url is not None:
            yield value.url
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _urls(getattr(value, name))


def _error_of(value: Any, files: Mapping[str, Media | ServiceError]) -> ServiceError | None:
    """The first error among an input's files."""
    return next((file for url in _urls(value) if isinstance(file := files[url], ServiceError)), None)


def _with_files(value: Any, files: Mapping[str, Media | ServiceError]) -> Any:
    """The inputs with files in place of URLs."""
    if isinstance(value, Media):
        return value if value.url is None else files[value.url]
    if isinstance(value, list):
        return [_with_files(item, files) for item in value]
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={name: _with_files(getattr(value, name), files) for name in value.model_fields_set}
        )
    return value
