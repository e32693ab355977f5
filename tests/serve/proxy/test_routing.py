"""Which replica HAProxy picks for a request, and the path at which it arrives; run by the HAProxy of ray[serve]."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.proxy.path_table import cached_path_table, path_table
from serve.proxy.routing import routed_models
from tests.quiet_server import Echo, answering
from tests.running_proxy import ray_configuration, running_proxy

APPLICATIONS = {
    "/tasks/feature-extraction": "MiniLM.v2",  # Ray lowers names and replaces dots in those of its sections
    "/tasks/feature-extraction/bge": "bge",
    "/tasks/text-classification": "classes",
    "/tasks/text-generation": "llama",
    "/tasks/image-to-text": "captions",
    "/tasks/speech-recognition-ctc": "letters",
    "/other": "stranger",  # not of this service
    "/": "gateway",
}
VECTORS, BGE = "/tasks/feature-extraction", "/tasks/feature-extraction/bge"
CLASSES, LLAMA = "/tasks/text-classification", "/tasks/text-generation"
LONG = "a" * 100_000  # more than HAProxy holds


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with answering(Echo) as port:
        ports = dict.fromkeys(APPLICATIONS.values(), port)
        with running_proxy(tmp_path_factory.mktemp("proxy"), APPLICATIONS, ports) as asking:
            yield asking


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/models/MiniLM.v2", VECTORS),
        ("/models/bge", BGE),
        ("/models/bge?a=1", BGE),
        ("/models/llama/v1/chat/completions", LLAMA),
        ("/models/classes/pipeline/zero-shot-classification", CLASSES),
        ("/models/bge/pipeline/feature-extraction", BGE),
        ("/tasks/embeddings/bge/pipeline/feature-extraction", BGE),
        ("/v2/models/bge/infer", BGE),
        ("/v2/models/MiniLM.v2/versions/1/infer", VECTORS),
        ("/v2/models/llama/generate_stream", LLAMA),
        ("/tasks/embeddings", VECTORS),
        ("/tasks/embeddings/bge", BGE),
        ("/tasks/zero-shot-classification", CLASSES),
        ("/tasks/automatic-speech-recognition", "/tasks/speech-recognition-ctc"),  # one of its tasks is served
    ],
)
def test_the_path_names_the_model(client: httpx.Client, path: str, prefix: str) -> None:
    assert client.post(path, content=b"anything").text == f"{prefix}/-{path}"


@pytest.mark.parametrize(
    "path",
    [
        VECTORS,
        BGE,
        "/models/minilm.v2",
        "/models/bge/unknown",
        "/models/gateway",
        "/models/stranger",
        "/v2/models/bge/versions/2/infer",
        "/v2/models/bge",
        "/v2/repository/index",
        "/tasks/embeddings/classes",
        "/tasks/zero-shot-image-classification",  # the proxy does not know which model has two towers
        "/tasks/image-to-text/unknown",
        "/v1/audio/transcriptions",
        "/v1/models",
        "/other/v1/embeddings",
        "/",
    ],
)
def test_every_other_path_stays_as_it_is(client: httpx.Client, path: str) -> None:
    """It is the model's own, or for the gateway to answer."""
    assert client.post(path, json={"model": "bge"}).text == path


@pytest.mark.parametrize("path", ["/models/bge", "/v2/models/bge/infer", "/v1/embeddings"])
def test_only_posts_are_rerouted(client: httpx.Client, path: str) -> None:
    assert client.get(path).text == path


@pytest.mark.parametrize(
    ("path", "body", "prefix"),
    [
        ("/v1/embeddings", {"model": "bge", "input": "a"}, BGE),
        ("/v1/embeddings", {"input": ["a", {"model": "other"}], "model": "bge"}, BGE),
        ("/v1/embeddings", {"input": '"model": "classes"'}, VECTORS),  # a text that looks like it
        ("/v1/embeddings", {"input": "a"}, VECTORS),
        ("/v1/embeddings", {"model": None, "input": "a"}, VECTORS),
        ("/v1/embeddings", {"model": "classes", "input": "a"}, CLASSES),  # which says that it has no embeddings
        ("/v1/embeddings", {"model": "org/bge", "input": "a"}, BGE),
        ("/v1/embeddings", {"model": "org/unknown", "input": "a"}, None),
        ("/v1/embeddings", {"model": "unknown", "input": "a"}, None),
        ("/v1/embeddings", {"model": "", "input": "a"}, None),
        ("/v1/embeddings", {"model": 3, "input": "a"}, None),
        ("/v1/embeddings", {"model": "bge", "input": LONG}, BGE),
        ("/v1/embeddings", {"input": LONG, "model": "bge"}, None),  # too late for HAProxy
        ("/v1/embeddings", {"input": LONG}, None),
        ("/embed", {"inputs": "a"}, VECTORS),
        ("/rerank", {"query": "a", "texts": ["b"]}, CLASSES),
        ("/v1/chat/completions", {"model": "llama"}, LLAMA),
        ("/v1/chat/completions", {}, None),  # which of two tasks comes first is the gateway's to know
        ("/v1/completions", {}, LLAMA),
        ("/tokenize", {"model": "captions"}, "/tasks/image-to-text"),
        ("/tokenize", {}, None),
    ],
)
def test_the_body_names_the_model(client: httpx.Client, path: str, body: dict[str, Any], prefix: str | None) -> None:
    expected = path if prefix is None else f"{prefix}/-{path}"
    assert client.post(path, json=body).text == expected


def test_what_haproxy_cannot_read_is_left_to_the_gateway(client: httpx.Client) -> None:
    encoded = {"content-encoding": "gzip", "content-type": "application/json"}
    assert client.post("/embed", content=gzip.compress(b'{"model":"bge"}'), headers=encoded).text == "/embed"
    pieces = (piece for piece in (b'{"inputs":', b'"a"}'))  # sent in chunks: whether it is whole is not known
    assert client.post("/embed", content=pieces).text == "/embed"
    pieces = (piece for piece in (b'{"model":"bge",', b'"inputs":"a"}'))
    assert client.post("/embed", content=pieces).text == f"{BGE}/-/embed"


def test_a_node_without_routes_has_no_models() -> None:
    """While it starts, or is drained, the answer to `/-/routes` is a text."""
    configuration = ray_configuration(1, APPLICATIONS, dict.fromkeys(APPLICATIONS.values(), 2))
    assert [model.name for model in routed_models(configuration)] == [
        name for path, name in APPLICATIONS.items() if path.startswith("/tasks/")
    ]
    waiting = configuration.replace(json.dumps(APPLICATIONS, separators=(",", ":")).replace('"', r"\""), "not yet")
    assert routed_models(waiting) == []


def test_the_table_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "paths.json"
    assert cached_path_table(file) == path_table()
    kept = file.stat().st_mtime_ns
    assert cached_path_table(file) == path_table()
    assert file.stat().st_mtime_ns == kept
    assert [each.name for each in tmp_path.iterdir()] == ["paths.json"]
