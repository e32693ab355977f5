"""The configuration of Ray Serve's HAProxy: Ray's environment variables, and lines for which Ray has no variable."""

import math
import shlex

import orjson

from deployments.errors import BodyTimeout, DeadlineExceeded, ServiceError, Unavailable
from serve.config.service import Limits

KEEP_ALIVE_S = 90  # longer than clients and load balancers keep idle connections, so that they close them first
STOP_MARGIN_S = 10

# Between an application's prefix and a path that HAProxy sends to it though it does not begin with the prefix:
# `/v1/embeddings` arrives as `/tasks/feature-extraction/minilm/-/v1/embeddings`. Ray answers 404 to any other path.
REROUTED = "/-"

# HAProxy's metrics and its statistics page are open to everybody on all interfaces, so only who sets a port has them.
METRICS_PORT_VARIABLE = "RAY_SERVE_HAPROXY_METRICS_PORT"
STATISTICS_PORT_VARIABLE = "RAY_SERVE_HAPROXY_STATS_PORT"

# HAProxy's own errors by status. It does not know the request's id. A request that is not HTTP, or whose headers arrive
# too slowly, gets HAProxy's built-in page in any case.
ANSWERS: dict[int, ServiceError] = {
    408: BodyTimeout("the request did not arrive in time"),
    502: Unavailable("the replica ended before it had answered; retry", retry_after=1),
    503: Unavailable("no replica is reachable; retry", retry_after=1),
    504: DeadlineExceeded("no answer in time"),
}


def haproxy_environment(limits: Limits) -> dict[str, str]:
    """Environment variables for every process of a cluster, on a laptop and on Kubernetes alike.

    Ports, threads and the drain time differ and are set elsewhere.

    Args:
        limits: for their times.
    """
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # Inference can be repeated, so a replica that dies loses no request.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "2",  # a dead machine accepts no connection: try the next replica
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",  # a request must fit to be sent again
        # A change of replicas starts a new HAProxy. The old one takes one more request on each connection that it has,
        # and ends after this time, whatever it still waits for; Ray's default is 120.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(_hard_stop_s(limits)),
        # A machine that is gone is noticed within two checks and a connect timeout each; Ray's default is 5 s.
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "2s",
        # Ray's own request counts: a log line to a Python process for each request, a third of a refusal's cost.
        # Replicas count for themselves (deployments/telemetry/metrics.py).
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # The last line of HAProxy's `defaults` section, which Ray writes verbatim, so that more lines can follow.
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "\n    ".join(["leastconn", *_default_lines(limits.body_timeout_s)]),
    }


def _hard_stop_s(limits: Limits) -> int:
    """The last request comes when its connection would be closed as idle, arrives slowly, and takes all its time."""
    return KEEP_ALIVE_S + math.ceil(limits.body_timeout_s + limits.request_timeout_s) + STOP_MARGIN_S


def _default_lines(body_timeout_s: float) -> list[str]:
    return [
        # Only a request that has arrived as a whole can be sent again, and many clients send headers and body apart.
        "option http-buffer-request",
        f"timeout http-request {round(body_timeout_s * 1000)}ms",
        "option http-ignore-probes",  # browsers open connections in advance: no 408 for those
        # A dead machine closes no connection: after nine seconds, its requests are sent to another.
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
