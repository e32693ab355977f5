"""ServiceClient: a running service, asked over HTTP for what it says of itself."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from serve.cli.top.scrape import Scrape

TIMEOUT_S = 15.0  # a service under load answers its own pages late


class ServiceUnreachable(Exception):
    """The service cannot be asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at a service.

    Attributes:
        scrape: its metrics.
        models: `{name: {"state", "replicas", …}}`, in the order of its configuration.
    """

    scrape: Scrape
    models: dict[str, dict[str, Any]]


class ServiceClient:
    """A service behind a URL; a context manager.

    Args:
        url: such as `http://127.0.0.1:8000`.
        key: an API key of it, where it asks for one.
    """

    def __init__(self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._has_key = key is not None
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, transport=transport)
        except httpx.InvalidURL as error:
            raise ServiceUnreachable(f"--url {url!r} is no URL: {error}") from None

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def look(self) -> Snapshot:
        """What it says now.

        Raises:
            ServiceUnreachable: it is not there, does not let this key in, or is another service.
        """
        text = self._get("/metrics", (200,)).text
        at = time.monotonic()
        try:
            models = self._get("/health/ready", (200, 503)).json()["models"]
            return Snapshot(Scrape(text, at), dict(models))
        except (ValueError, KeyError, TypeError):
            raise self._other() from None

    def _get(self, path: str, good: tuple[int, ...]) -> httpx.Response:
        try:
            answer = self._client.get(path)
        except httpx.UnsupportedProtocol:
            raise ServiceUnreachable(f"--url {self.url!r} should begin with http:// or https://") from None
        except httpx.TimeoutException:
            raise ServiceUnreachable(f"{self.url} does not answer within {TIMEOUT_S:g} s") from None
        except httpx.TransportError as error:
            hint = "start one with `automodel-serve up`, or say with --url where it is"
            raise ServiceUnreachable(f"no service at {self.url} ({error}); {hint}") from None
        if answer.status_code == 401:
            wanted = "does not know this API key" if self._has_key else "asks for an API key"
            raise ServiceUnreachable(f"{self.url} {wanted}; give one with --key or AUTOMODEL_SERVE_API_KEY")
        if answer.status_code not in good:
            raise self._other(f" ({path} gives {answer.status_code})")
        return answer

    def _other(self, why: str = "") -> ServiceUnreachable:
        return ServiceUnreachable(f"what answers at {self.url} is no automodel-serve{why}")
