"""No request waits in HAProxy for a replica: the gateway answers for a model without one, HAProxy for the gateway."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from serve.cluster.haproxy import ANSWERS
from tests.quiet_server import Echo, answering
from tests.running_proxy import running_proxy

MODELS = {
    "/tasks/feature-extraction": "MiniLM.v2",
    "/tasks/feature-extraction/bge": "bge",
    "/tasks/text-classification": "classes",
    "/tasks/speech-recognition-ctc": "letters",
    "/tasks/speech-recognition-seq2seq": "whisper",
}
APPLICATIONS = {**MODELS, "/": "gateway"}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, int]]:
    """Ports of a replica, the gateway, and Ray's own proxy, which nothing may reach."""
    with answering(Echo) as replica, answering(Echo) as gateway, answering(Echo) as fallback:
        yield {"replica": replica, "gateway": gateway, "fallback": fallback}


def reached(answer: httpx.Response) -> str:
    """The port and the path at which a request arrived."""
    return f"{answer.headers['x-port']} {answer.text}"


def proxy(folder: Path, servers: dict[str, int], *ready: str) -> AbstractContextManager[httpx.Client]:
    ports = {name: servers["gateway" if name == "gateway" else "replica"] for name in ready}
    return running_proxy(folder, APPLICATIONS, ports, servers["fallback"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tasks/feature-extraction/bge", {"inputs": "a"}),
        ("/tasks/feature-extraction/bge/tokenize", {"inputs": "a"}),
        ("/tasks/text-classification", {"inputs": "a"}),
        ("/models/bge", {"inputs": "a"}),
        ("/v2/models/classes/infer", {}),
        ("/v1/embeddings", {"model": "bge"}),
        ("/v1/embeddings", {"model": "org/bge"}),
        ("/predict", {"inputs": "a"}),
        ("/tasks/zero-shot-classification", {"inputs": "a"}),
        ("/tasks/automatic-speech-recognition", {"inputs": "a"}),  # of two tasks, though only one has a replica
    ],
)
def test_a_model_without_a_replica_is_the_gateways(
    tmp_path: Path, servers: dict[str, int], path: str, body: dict[str, str]
) -> None:
    with proxy(tmp_path, servers, "gateway", "MiniLM.v2", "letters") as client:
        assert reached(client.post(path, json=body)) == f"{servers['gateway']} {path}"
        assert reached(client.get(path)) == f"{servers['gateway']} {path}"


def test_the_others_are_asked_themselves(tmp_path: Path, servers: dict[str, int]) -> None:
    with proxy(tmp_path, servers, "gateway", "MiniLM.v2") as client:
        path = "/tasks/feature-extraction"
        assert reached(client.post(path)) == f"{servers['replica']} {path}"
        answer = client.post("/v1/embeddings", json={"model": "MiniLM.v2"})
        assert reached(answer) == f"{servers['replica']} {path}/-/v1/embeddings"


def test_while_there_is_no_replica_at_all_haproxy_refuses(tmp_path: Path, servers: dict[str, int]) -> None:
    with proxy(tmp_path, servers) as client:
        for path in ("/", "/v1/models", "/tasks/text-classification", "/models/bge"):
            answer = client.post(path, json={})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
            assert answer.json()["error"] == ANSWERS[503].message


def test_a_gateway_that_is_replaced_is_waited_for(tmp_path: Path, servers: dict[str, int]) -> None:
    with proxy(tmp_path, servers, "MiniLM.v2") as client:
        assert reached(client.post("/tasks/feature-extraction")) == f"{servers['replica']} /tasks/feature-extraction"
        assert reached(client.get("/v1/models")) == f"{servers['fallback']} /v1/models"
        assert reached(client.post("/models/bge")) == f"{servers['fallback']} /models/bge"


def test_without_applications_haproxy_refuses(tmp_path: Path) -> None:
    with running_proxy(tmp_path, {}, {}) as client:
        answer = client.post("/tasks/text-classification", json={"inputs": "a"})
        assert (answer.status_code, answer.json()["error_type"]) == (503, "unavailable")
        assert client.get("/-/routes").status_code == 200
