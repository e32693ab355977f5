"""ServiceClient: reads metrics and states of a running service over HTTP."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from serve.cli.top.scrape import Scrape

TIMEOUT_S = 15.0  # an overloaded service is slow to answer


class ServiceUnreachable(Exception):
    """The service cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Metrics and states at one moment.

    Attributes:
        scrape: the metrics.
        models: `{name: {"state", "replicas", …}}`, in the order of the configuration.
    """

    scrape: Scrape
    models: dict[str, dict[str, Any]]


class ServiceClient:
    """A client of the service at a URL; a context manager.

    Args:
        url: such as `http://127.0.0.1:8000`.
        key: an API key, if the service requires one.
    """

    def __init__(self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._has_key = key is not None
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        try:
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, transport=transport)
        except httpx.InvalidURL as error:
            raise ServiceUnreachable(f"--url {url!r} is not a URL: {error}") from None

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def snapshot(self) -> Snapshot:
        """The current metrics and states.

        Raises:
            ServiceUnreachable: there is no service, the key is refused, or it is another service.
        """
        text = self._get("/metrics", (200,)).text
        at = time.monotonic()
        try:
            models = self._get("/health/ready", (200, 503)).json()["models"]
            return Snapshot(Scrape(text, at), dict(models))
        except (ValueError, KeyError, TypeError):
            raise self._not_ours() from None

    def _get(self, path: str, expected: tuple[int, ...]) -> httpx.Response:
        try:
            response = self._client.get(path)
        except httpx.UnsupportedProtocol:
            raise ServiceUnreachable(f"--url {self.url!r} must begin with http:// or https://") from None
        except httpx.TimeoutException:
            raise ServiceUnreachable(f"{self.url} did not answer within {TIMEOUT_S:g} s") from None
        except httpx.TransportError as error:
            hint = "start one with `automodel-serve up`, or set --url"
            raise ServiceUnreachable(f"no service at {self.url} ({error}); {hint}") from None
        if response.status_code == 401:
            problem = "does not know this API key" if self._has_key else "requires an API key"
            raise ServiceUnreachable(f"{self.url} {problem}; set --key or AUTOMODEL_SERVE_API_KEY")
        if response.status_code not in expected:
            raise self._not_ours(f" ({path} returns {response.status_code})")
        return response

    def _not_ours(self, reason: str = "") -> ServiceUnreachable:
        return ServiceUnreachable(f"the server at {self.url} is not automodel-serve{reason}")
