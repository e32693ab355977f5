"""The gRPC server, which runs in the gateway's process for the gateway's lifetime."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from serve.apis.open_inference.grpc_service import GrpcService
from serve.apis.open_inference.inference import OpenInference
from serve.config.service import Limits, Service
from serve.middleware.api_keys import KeyRing

logger = logging.getLogger(__name__)

GRACE_S = 5.0  # for calls in progress when the gateway ends
MAX_CALLS = 4096  # concurrent calls, as many as the gateway accepts over HTTP

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def grpc_lifespan(inference: OpenInference, config: Service, host: Callable[[], str]) -> Lifespan:
    """An ASGI lifespan that serves gRPC if a port is configured.

    Args:
        inference: handles the calls.
        config: of the service.
        host: returns the address to listen on, which is HTTP's; called only if there is a port.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        if config.grpc.port is None:
            yield
            return
        keys = config.auth.api_keys_file
        service = GrpcService(inference, KeyRing(Path(keys)) if keys else None)
        server = await start_server(service, host(), config.grpc.port, config.limits, is_shared=True)
        try:
            yield
        finally:
            await server.stop(GRACE_S)

    return lifespan


async def start_server(
    service: GrpcService, host: str, port: int, limits: Limits, *, is_shared: bool = False
) -> grpc.aio.Server:
    """Start a server.

    Args:
        service: handles the calls.
        host: address to listen on.
        port: to listen on; 0 for any.
        limits: on messages and metadata.
        is_shared: whether others may listen on the port, as a gateway does until its successor has taken over. Two
            services would each get some of the calls, so `up` checks beforehand that the port is free.

    Raises:
        RuntimeError: the port is in use.
    """
    options = [
        ("grpc.so_reuseport", int(is_shared)),
        ("grpc.max_receive_message_length", limits.body.size),
        ("grpc.max_metadata_size", int(limits.max_header_kb * 1024)),
        ("grpc.absolute_max_metadata_size", int(limits.max_header_kb * 1024)),
        ("grpc.max_send_message_length", -1),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MAX_CALLS)
    server.add_generic_rpc_handlers((service.handler(),))
    server.add_insecure_port(f"{host}:{port}")
    await server.start()
    logger.info("serving gRPC on %s:%d", host, port)
    return server
