"""The protocols of other services: the operations and the error format of each, and the handlers of one model's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette import routing

from deployments.asgi import ASGIApp
from serve.apis.embeddings_inference import routes as embeddings_inference
from serve.apis.huggingface import operations as huggingface
from serve.apis.huggingface.paths import CHAT, COMPLETIONS
from serve.apis.model_client import ModelClient
from serve.apis.open_inference import routes as open_inference
from serve.apis.open_inference.inference import OpenInference
from serve.apis.open_inference.messages import VERSION
from serve.apis.openai import routes as openai
from serve.apis.openai.errors import openai_error
from serve.apis.operation import Operation
from serve.config.service import Limits
from serve.http.errors import ErrorFormat, native_format
from serve.routes import Route, RouteTable
from serve.upstream.in_process import InProcessReplica

if TYPE_CHECKING:
    from serve.cluster.states import ModelState


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol.

    Attributes:
        name: for people.
        slug: the name for HAProxy.
        description: who speaks it.
        operations: its paths.
        error_format: of its errors.
    """

    name: str
    slug: str
    description: str
    operations: tuple[Operation, ...]
    error_format: ErrorFormat


PROTOCOLS = (
    Protocol("OpenAI", "openai", "For OpenAI's clients.", openai.OPERATIONS, openai_error),
    Protocol(
        "Text Embeddings Inference",
        "tei",
        "For TEI's clients, and rerank of Cohere's and Jina's.",
        embeddings_inference.OPERATIONS,
        embeddings_inference.tei_error,
    ),
    Protocol(
        "Open Inference Protocol",
        "open-inference",
        "For KServe's and Triton's clients.",
        open_inference.OPERATIONS,
        open_inference.open_inference_error,
    ),
    Protocol(
        "Hugging Face",
        "native",
        "For Hugging Face's clients, below a model's URL.",
        huggingface.OPERATIONS,
        native_format,
    ),
)


_FORMATS = {
    each.path: protocol.error_format for protocol in PROTOCOLS for each in protocol.operations if "{" not in each.path
}


def error_format_of(path: str) -> ErrorFormat:
    """The error format of a path, known or not."""
    if (known := _FORMATS.get(path)) is not None:
        return known
    if path.startswith("/v1/") or path.endswith((CHAT, COMPLETIONS)):
        return openai_error
    return open_inference.open_inference_error if path.startswith("/v2") else native_format


def protocol_routes(client: ModelClient, inference: OpenInference, limits: Limits) -> Iterator[routing.Route]:
    """The routes of all protocols except Hugging Face's, whose paths are below a model's URL."""
    yield from openai.openai_routes(client)
    yield from embeddings_inference.embeddings_inference_routes(client, limits)
    yield from open_inference.open_inference_routes(client, inference)


def model_operations(endpoint: ASGIApp, route: Route, limits: Limits) -> Mapping[str, routing.Route]:
    """What one model answers within its own process, by path: the POST routes whose path or body can name a model.

    A body may omit the model. If it names another, the answer is 404.
    """
    table = RouteTable([(route.model, route.kind)])
    client = ModelClient(table, InProcessReplica(endpoint), limits.body)
    routes = protocol_routes(client, OpenInference(client, table, _no_states), limits)
    named = {each.path for protocol in PROTOCOLS for each in protocol.operations if each.names_model}
    return {each.path.format(model=route.model, version=VERSION): each for each in routes if each.path in named}


async def _no_states() -> Mapping[str, "ModelState"]:
    """Readiness is the gateway's to tell."""
    return {}
