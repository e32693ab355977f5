"""The server for gRPC beside the gateway: it lives in the gateway's process, as long as the gateway does."""

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

END_S = 5.0  # for calls under way when the gateway ends
MAX_CALLS = 4096  # at once, as many as the gateway takes over HTTP

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def grpc_lifespan(inference: OpenInference, config: Service, host: Callable[[], str]) -> Lifespan:
    """What an application does around its life: serve gRPC, where a port is configured.

    Args:
        inference: what there is to answer.
        config: the service.
        host: the address to listen on, which is HTTP's; asked only where there is a port.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        if config.grpc.port is None:
            yield
            return
        keys = config.auth.api_keys_file
        service = GrpcService(inference, KeyRing(Path(keys)) if keys else None)
        server = await started(service, host(), config.grpc.port, config.limits, is_shared=True)
        try:
            yield
        finally:
            await server.stop(END_S)

    return lifespan


async def started(
    service: GrpcService, host: str, port: int, limits: Limits, *, is_shared: bool = False
) -> grpc.aio.Server:
    """A server that listens.

    Args:
        service: what it answers.
        host: address to listen on.
        port: to listen on; 0 for any.
        limits: of a client's message and its metadata.
        is_shared: others may listen there at the same time, as a gateway does until the next one has taken its place.
            Two services would each get some of the calls: `up` looks beforehand whether the port is free.

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
    logger.info("gRPC on %s:%d", host, port)
    return server
