"""Sends one request with gevent's HTTP client, and reads a stream to its end."""

import json
from collections.abc import Callable
from typing import Any

import gevent
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from loadtests.load.http_load import MAX_CONNECTIONS
from loadtests.load.records import CUT_OFF, ERROR_IN_STREAM, RequestRecord
from loadtests.load.results import ANSWERED
from loadtests.service.api_key import authorization
from loadtests.traffic.payload import Payload

GRACE_S = 1.0  # beyond the timeout that the service is told
DATA = b"data:"


def http_client(url: str, timeout_s: float) -> HTTPClient:
    """A client with a connection pool, shared by all users."""
    return HTTPClient.from_url(
        url,
        concurrency=MAX_CONNECTIONS,
        headers=authorization(),
        connection_timeout=timeout_s,
        network_timeout=timeout_s + GRACE_S,
    )


def send(
    client: HTTPClient, path: str, payload: Payload, record: RequestRecord, timeout_s: float, now: Callable[[], float]
) -> None:
    """Send a request, wait for the whole response, and fill in the record."""
    headers = {"content-type": payload.content_type, "timeout": f"{timeout_s:g}"}
    try:
        with gevent.Timeout(timeout_s + GRACE_S):
            response = client.post(path, payload.content, headers)
            record.outcome = str(response.status_code)
            if payload.streams and record.is_answered:
                record.outcome = _read_stream(response, record, now)
            else:
                response.read()
            if not record.is_answered and (retry_after := response.get("retry-after")) is not None:
                record.retry_after = float(str(retry_after))
    except (OSError, HTTPParseError, HTTPConnectionClosed, ValueError, gevent.Timeout) as error:
        record.outcome = type(error).__name__
    record.ended = now()


def _read_stream(response: Any, record: RequestRecord, now: Callable[[], float]) -> str:
    """Count the tokens. Returns the outcome."""
    outcome = CUT_OFF
    while line := response.readline(b"\n"):
        if not line.startswith(DATA):
            continue
        event = json.loads(line[len(DATA) :])
        if "error" in event:
            return ERROR_IN_STREAM
        record.tokens += 1
        if record.first is None:
            record.first = now()
        if event.get("generated_text") is not None:
            outcome = ANSWERED  # only the last event has the whole text
    return outcome
