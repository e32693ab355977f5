"""HAProxy refuses for a replica that is full: the rules, run by the HAProxy that ray[serve] brings."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.cluster.haproxy_overload import FULL, MESSAGE, REFUSED_BEFORE, with_overload_rules
from tests.quiet_server import answering
from tests.running_proxy import ray_configuration, running_proxy

PATH = "/tasks/fill-mask"
OPEN_S = 1.0  # by when HAProxy asks the replica again, on a busy machine


class FullReplica(BaseHTTPRequestHandler):
    """Refuses everything, and says that it is full unless it is asked not to."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(429)
        if "x-late" not in self.headers:
            self.send_header(FULL, "1")
        self.send_header("retry-after", "7")
        self.send_header("x-model", "small")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def replica() -> Iterator[int]:
    FullReplica.seen = []
    with answering(FullReplica) as port:
        yield port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture
def client(replica: int, folder: Path) -> Iterator[httpx.Client]:
    ports = {"small": replica, "gateway": replica}
    with running_proxy(folder, {PATH: "small", "/": "gateway"}, ports) as asking:
        yield asking


def post(client: httpx.Client, path: str = PATH, **headers: str) -> httpx.Response:
    return client.post(path, json={"inputs": "a"}, headers={name.replace("_", "-"): headers[name] for name in headers})


def is_of_replica(answer: httpx.Response) -> bool:
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert FULL not in answer.headers
    return "x-model" in answer.headers


def closed(client: httpx.Client, **headers: str) -> httpx.Response:
    """Ask until HAProxy has refused; its answer."""
    end = time.monotonic() + 10
    while is_of_replica(answer := post(client, **headers)):
        assert time.monotonic() < end
    return answer


def test_haproxy_refuses_for_a_while_and_asks_again(client: httpx.Client) -> None:
    answer = closed(client, x_request_id='mine "1"')
    assert answer.headers["x-request-id"] == 'mine "1"'
    body = answer.json()
    assert body == {"error": body["error"], "error_type": "overloaded", "request_id": 'mine "1"'}
    asked, end = len(FullReplica.seen), time.monotonic() + OPEN_S
    while not is_of_replica(post(client)):
        assert time.monotonic() < end
    assert len(FullReplica.seen) == asked + 1


def test_every_request_is_told_of_once(client: httpx.Client) -> None:
    sent = 0
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        post(client, x_automodel_refused_before="1000")  # HAProxy alone says how many
        sent += 1
    time.sleep(OPEN_S)
    assert is_of_replica(post(client))
    refused = sum(int(seen.get(REFUSED_BEFORE, "0")) for seen in FullReplica.seen)
    assert len(FullReplica.seen) + refused == sent + 1
    assert refused


def test_a_request_without_an_id_gets_one(client: httpx.Client) -> None:
    answer = closed(client)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] != ""


@pytest.mark.parametrize(
    "asked",
    [
        {"path": f"{PATH}/small/v1/chat/completions"},  # answers have the form of that protocol
        {"origin": "https://app.example"},  # a browser, which must be told who may read the answer
    ],
)
def test_the_replica_refuses_by_itself(client: httpx.Client, asked: dict[str, Any]) -> None:
    closed(client)
    assert is_of_replica(post(client, **asked))


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/models/small", {}, {"error": MESSAGE, "error_type": "overloaded", "request_id": "mine"}),
        ("/v2/models/small/infer", {}, {"error": MESSAGE}),
        (
            "/v1/chat/completions",
            {"model": "small"},
            {"error": {"message": MESSAGE, "type": "rate_limit_error", "param": None, "code": "overloaded"}},
        ),
        ("/rerank", {"model": "small"}, {"error": MESSAGE, "error_type": "overloaded", "request_id": "mine"}),
    ],
)
def test_a_refusal_has_the_form_of_its_protocol(
    client: httpx.Client, path: str, body: dict[str, str], refusal: dict[str, Any]
) -> None:
    while is_of_replica(answer := client.post(path, json=body, headers={"x-request-id": "mine"})):
        pass
    assert answer.json() == refusal


def test_the_gateway_is_handed_everything(client: httpx.Client) -> None:
    """Other models may have room."""
    closed(client)
    asked = [post(client, "/models/other", x_automodel_refused_before="9") for _ in range(10)]
    assert all("x-model" in answer.headers for answer in asked)
    assert not any(REFUSED_BEFORE in seen for seen in FullReplica.seen[-10:])


def test_what_only_describes_the_model_is_handed_on(client: httpx.Client) -> None:
    closed(client)
    assert is_of_replica(client.get(PATH))


def test_a_refusal_that_is_only_of_some_closes_nothing(client: httpx.Client) -> None:
    """Of a caller that has less time than others, or asks more often than its key may."""
    assert all(is_of_replica(post(client, x_late="1")) for _ in range(50))


def test_what_is_no_application_stays_as_it_is() -> None:
    text = ray_configuration(1, {PATH: "small", "/": "gateway"}, {"small": 2, "gateway": 2})
    added = with_overload_rules(text, {"native": "{}"}).splitlines()
    assert [line for line in added if line and line in text] == [line for line in text.splitlines() if line]
    assert added.count(f"    http-response del-header {FULL}") == 1
