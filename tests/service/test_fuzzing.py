"""Anything at all is thrown at every route: no 5xx, no answer that does not come, no memory that stays taken."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serve.config.service import embedded_config
from serve.gateway.app import Gateway
from serve.gateway.openapi import openapi
from serve.routes import RouteTable, route_table
from tests.service.running import RunningService

pytestmark = pytest.mark.ray
SECONDS = 20.0  # for an answer; a request that asks for more work than that may get 504
few = settings(
    max_examples=max(6, settings().max_examples // 20),  # each is a request to a whole service
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


TABLE = route_table(embedded_config())
ALSO = re.compile(r"/models/[^{/]*|/tasks/[^/]*/[^/]*")  # a task's model under its name: the same application
DOCUMENT = openapi(TABLE)
OPERATIONS = [f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def operations() -> dict[str, Any]:
    """As Schemathesis has them, by method and path. It is imported here: it takes seconds, in each worker."""
    import schemathesis

    found = schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    return {operation.label: operation for operation in (each.ok() for each in found)}


def test_the_document_is_the_services(service: RunningService) -> None:
    assert httpx.get(f"{service.url}/openapi.json").json() == DOCUMENT


def test_every_operation_of_the_document_is_asked(operations: dict[str, Any]) -> None:
    assert list(operations) == OPERATIONS


@pytest.mark.parametrize("operation", [label for label in OPERATIONS if not ALSO.fullmatch(label.split()[1])])
def test_what_the_document_allows(service: RunningService, operations: dict[str, Any], operation: str) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]

    @few
    @given(case=operations[operation].as_strategy())
    def asked(case: Any) -> None:
        response = case.call(base_url=service.url, headers={"timeout": str(SECONDS)}, timeout=SECONDS + 10)
        if response.status_code != 504:  # it may ask for more than can be written in the time
            case.validate_response(response, checks=checks)

    asked()


def routes(table: RouteTable) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the gateway and of the replicas."""
    config = embedded_config()
    for route in Gateway(table, config).__serve_build_asgi_app__().routes:
        for method in (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}:
            path = route.path.replace("{below:below}", "").replace("{version}", "1")  # type: ignore[attr-defined]
            yield method, path.replace("{model}", "minilm").replace("{task}", "fill-mask")
    for each in table.routes:
        yield from (("POST", path) for path in (each.path, f"/models/{each.model}"))


FILL_MASK = next(route.model for route in TABLE.routes if route.task == "fill-mask")
ROUTES = sorted(set(routes(TABLE)))
KEYS = st.sampled_from(
    "inputs parameters input model messages prompt query texts documents text stream partial outputs question "
    "context candidate_labels name shape datatype data n max_tokens ids id source_sentence sentences".split()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["minilm", "\ud800", "a" * 10_000, "[MASK]", "user", "BYTES", "json", "http://127.0.0.1/x"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4)
)
BODIES = st.binary(max_size=200) | (st.dictionaries(KEYS, VALUES, max_size=6) | VALUES).map(
    lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
)
TYPES = st.sampled_from(
    ["application/json", "text/plain", "image/png", "audio/wav", "multipart/form-data; boundary=x", "", "application/x"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-request-id", "inference-header-content-length", "accept", "authorization", "timeout"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip),
    max_size=2,
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_anything_at_all(service: RunningService, method: str, path: str) -> None:
    with httpx.Client(base_url=service.url, timeout=SECONDS + 10) as client:

        @few
        @given(body=BODIES, content_type=TYPES, headers=HEADERS)
        def asked(body: bytes, content_type: str, headers: dict[str, str]) -> None:
            headers = {"timeout": str(SECONDS), "content-type": content_type, **headers}
            answer = client.request(method, path, content=body, headers=headers)
            assert answer.status_code < 500, (answer.status_code, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["error"], "an error says what it is"

        asked()


LARGE = [
    json.dumps({"inputs": "a" * 300_000}),
    json.dumps({"inputs": ["word " * 200] * 50, "partial": True, "parameters": {"nothing": 1}}),
    json.dumps({"inputs": [None] * 2000}),
    "[" * 300_000,
    json.dumps({"inputs": ["[MASK]", "", "\u0000", "[MASK] " * 3000], "partial": True}),
]


def test_memory_is_given_back(service: RunningService) -> None:
    """What is refused leaves nothing behind, beside what torch and glibc keep from the first round for the next."""
    processes = [process for name in ("gateway", FILL_MASK) for process in service.replicas(name)]
    assert len(processes) == 2
    taken = []
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for _ in range(4):
            for _ in range(8):
                for path in ("/tasks/fill-mask", f"/models/{FILL_MASK}", "/tokenize", "/v1/embeddings"):
                    for body in LARGE:
                        answer = client.post(path, content=body, headers={"content-type": "application/json"})
                        assert answer.status_code < 500, answer.text
            taken.append([process.memory_info().rss for process in processes])
    for after_the_first, at_the_end in zip(taken[0], taken[-1], strict=True):
        assert at_the_end - after_the_first < 24 * 2**20
