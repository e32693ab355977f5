"""One request through gevent's HTTP client; a stream is heard to its end. Imported in locust's process only."""

import json
from collections.abc import Callable
from typing import Any

import gevent
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from loadtests.load.open_load import MOST_CONNECTIONS
from loadtests.load.records import CUT_OFF, ERROR_IN_STREAM, Record
from loadtests.load.statistics import ANSWERED
from loadtests.service.api_key import authorization
from loadtests.traffic.payload import Payload

PATIENCE_S = 1.0  # of a caller, beyond the time that it tells the service
DATA = b"data:"


def client_of(url: str, timeout_s: float) -> HTTPClient:
    """A client for all callers: connections are kept, and opened where none is free."""
    return HTTPClient.from_url(
        url,
        concurrency=MOST_CONNECTIONS,
        headers=authorization(),
        connection_timeout=timeout_s,
        network_timeout=timeout_s + PATIENCE_S,
    )


def ask(
    client: HTTPClient, path: str, payload: Payload, record: Record, timeout_s: float, now: Callable[[], float]
) -> None:
    """Send it, wait for the whole answer, and note in the record what became of it."""
    headers = {"content-type": payload.content_type, "timeout": f"{timeout_s:g}"}
    try:
        with gevent.Timeout(timeout_s + PATIENCE_S):
            answer = client.post(path, payload.content, headers)
            record.outcome = str(answer.status_code)
            if payload.streams and record.outcome == ANSWERED:
                record.outcome = _hear(answer, record, now)
            else:
                answer.read()
            if record.outcome != ANSWERED and (told := answer.get("retry-after")) is not None:
                record.retry_after = float(str(told))
    except (OSError, HTTPParseError, HTTPConnectionClosed, ValueError, gevent.Timeout) as error:
        record.outcome = type(error).__name__
    record.ended = now()


def _hear(answer: Any, record: Record, now: Callable[[], float]) -> str:
    """Count the tokens; how the stream ended."""
    outcome = CUT_OFF
    while line := answer.readline(b"\n"):
        if not line.startswith(DATA):
            continue
        event = json.loads(line[len(DATA) :])
        if "error" in event:
            return ERROR_IN_STREAM
        record.tokens += 1
        if record.first is None:
            record.first = now()
        if event.get("generated_text") is not None:
            outcome = ANSWERED  # the last event has the whole text
    return outcome
