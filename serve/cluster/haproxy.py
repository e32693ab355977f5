"""What Ray Serve's HAProxy is told: by the variables that Ray reads, and by lines that Ray has no variable for."""

import shlex

import orjson

from deployments.errors import BodyTimeout, DeadlineExceeded, ServiceError, Unavailable

# HAProxy's own errors, by the status that it gives them. It knows no request's id. What is not HTTP, or a head that
# comes too slowly, it answers with its own page, whatever is said here.
ANSWERS: dict[int, ServiceError] = {
    408: BodyTimeout("the request did not come in time"),
    502: Unavailable("the replica ended before it had answered; ask again", retry_after=1),
    503: Unavailable("no replica can be reached; ask again", retry_after=1),
    504: DeadlineExceeded("no answer in time"),
}


def haproxy_variables(body_timeout_s: float) -> dict[str, str]:
    """Environment variables for every process of a cluster, on a laptop and on Kubernetes alike.

    Ports, threads and the time for draining are each one's own.

    Args:
        body_timeout_s: time for a request to come, head and body.
    """
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Inference can be repeated: a replica that dies with a request in hand loses none.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "2",  # a machine that is gone answers no connection: the next replica
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",  # a request must fit to be sent again
        # Ray's own counting of requests: a line to a Python process for each of them, a third of what a refusal costs.
        # Replicas count for themselves (deployments/telemetry/metrics.py).
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # The last line of the section that all of HAProxy's parts inherit: Ray writes it as it stands.
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "\n    ".join(["leastconn", *_lines(body_timeout_s)]),
    }


def _lines(body_timeout_s: float) -> list[str]:
    return [
        # Only a request that has come as a whole can be sent again, and many clients send head and body apart.
        "option http-buffer-request",
        f"timeout http-request {round(body_timeout_s * 1000)}ms",
        "option http-ignore-probes",  # browsers open connections that they may need: no 408 for those
        # A machine that is gone closes no connection. What waits for an answer of it is sent again after nine seconds.
        "option srvtcpka",
        "srvtcpka-idle 3s",
        "srvtcpka-intvl 2s",
        "srvtcpka-cnt 3",
        *(_error_line(status, error) for status, error in ANSWERS.items()),
    ]


def _error_line(status: int, error: ServiceError) -> str:
    body = orjson.dumps({"error": error.message, "error_type": error.error_type, "request_id": None}).decode()
    retry = "" if error.retry_after is None else f" hdr retry-after {error.retry_after}"
    return f"http-error status {status} content-type application/json string {shlex.quote(body)}{retry}"
