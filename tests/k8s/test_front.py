"""The front's configuration, run by the real HAProxy that ray[serve] brings."""

import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from tests.quiet_server import QuietServer
from tests.running_front import RunningFront
from tests.waiting import until

MAX_BODY = 200_000
SLOW_S = 1  # in place of the ten seconds for a head, and the thirty for a body


class ServeReplicas(BaseHTTPRequestHandler):
    """Says what arrived."""

    protocol_version = "HTTP/1.1"
    fail_once = threading.Event()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        if self.path != "/-/healthz" and self.fail_once.is_set():
            self.fail_once.clear()
            self.close_connection = True  # a replica that dies with the request in hand
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = json.dumps({"path": self.path, "headers": headers, "size": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFront]:
    upstream = QuietServer(("127.0.0.1", 0), ServeReplicas)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    environment = {
        "UPSTREAM": f"127.0.0.1:{upstream.server_address[1]}",
        "MAX_BODY_BYTES": str(MAX_BODY),
        "TIMEOUT_SERVER": "5s",
        "HARD_STOP": "5s",
    }
    try:
        with RunningFront(tmp_path_factory.mktemp("front"), environment, impatient) as running:
            yield running
    finally:
        upstream.shutdown()
        upstream.server_close()


def impatient(text: str) -> str:
    for written in ("timeout http-request 10s", "wait-for-body time 10s", "timeout client 30s"):
        assert written in text
        text = text.replace(written, f"{written.rsplit(' ', 1)[0]} {SLOW_S}s")
    return text


@pytest.fixture
def client(front: RunningFront) -> Iterator[httpx.Client]:
    with front.client() as client:
        yield client


def test_a_request_goes_through(client: httpx.Client) -> None:
    answer = client.post("/tasks/fill-mask", content=b"x" * 100_000, headers={"authorization": "Bearer key"})
    said = answer.json()
    assert (said["path"], said["size"]) == ("/tasks/fill-mask", 100_000)
    assert said["headers"]["authorization"] == "Bearer key"
    assert said["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert "max-age" in answer.headers["strict-transport-security"]


def test_nobody_steers_ray(client: httpx.Client) -> None:
    given = {"X-Request-Timeout-Seconds": "0", "x-request-disconnect-disabled": "1", "timeout": "5"}
    headers = client.get("/", headers=given).json()["headers"]
    assert not headers.keys() & {"x-request-timeout-seconds", "x-request-disconnect-disabled"}
    assert headers["timeout"] == "5"


def test_a_request_id_is_kept_or_given(client: httpx.Client) -> None:
    assert client.get("/", headers={"x-request-id": "mine"}).json()["headers"]["x-request-id"] == "mine"
    given = [client.get("/").json()["headers"]["x-request-id"] for _ in range(2)]
    assert len(set(given)) == 2
    assert len(given[0]) == 36


def test_plain_http_is_sent_to_tls(front: RunningFront) -> None:
    answer = httpx.post(f"http://127.0.0.1:{front.port}/tasks/fill-mask?a=b", content=b"{}", timeout=10)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://127.0.0.1:{front.port}/tasks/fill-mask?a=b"


@pytest.mark.parametrize(
    ("path", "headers", "content", "status", "kind"),
    [
        ("/tasks/x", {}, b"x" * (MAX_BODY + 1), 413, "too_large"),
        ("/tasks/x", {"x-large": "x" * 17_000}, b"{}", 431, "headers_too_large"),
        ("/-/routes", {}, b"{}", 404, "not_found"),
        ("/-/healthz", {}, b"{}", 404, "not_found"),
    ],
)
def test_what_is_refused(
    client: httpx.Client, path: str, headers: dict[str, str], content: bytes, status: int, kind: str
) -> None:
    answer = client.post(path, content=content, headers=headers | {"x-request-id": 'a"b'})
    assert answer.status_code == status
    assert (answer.json()["error_type"], answer.json()["request_id"]) == (kind, 'a"b')


def test_a_body_without_its_length_is_refused(client: httpx.Client) -> None:
    answer = client.post("/tasks/x", content=iter([b"{}"]))
    assert answer.status_code == 411
    assert answer.json()["error_type"] == "length_required"


def test_a_body_of_the_largest_size_goes_through(client: httpx.Client) -> None:
    assert client.post("/tasks/x", content=b"x" * MAX_BODY).json()["size"] == MAX_BODY


def test_a_head_that_drips_is_given_up(front: RunningFront) -> None:
    with front.connection() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = http.client.HTTPResponse(connection)
        for _ in range(300):  # a header every now and then does not help
            if select.select([connection], [], [], 0.2)[0]:
                break
            connection.sendall(b"X-Drip: 1\r\n")
        else:
            pytest.fail("it may drip for a minute")
        answer.begin()
        assert answer.status == 408


def test_a_body_that_stops_is_given_up(front: RunningFront) -> None:
    with front.connection() as connection:
        connection.sendall(b"POST /tasks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxxx")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 408


def test_a_request_that_got_no_answer_is_sent_again(front: RunningFront, client: httpx.Client) -> None:
    ServeReplicas.fail_once.set()
    before = front.sent_again()
    answer = client.post("/tasks/x", content=b"x" * 20_000)
    assert answer.json()["size"] == 20_000
    assert not ServeReplicas.fail_once.is_set()
    until(lambda: front.sent_again() > before)  # it is logged after it has been answered
    assert front.sent_again() == before + 1


def test_old_tls_is_refused(front: RunningFront) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("127.0.0.1", front.tls_port), timeout=10)
    with old.wrap_socket(plain, do_handshake_on_connect=False) as asking, pytest.raises(ssl.SSLError):
        asking.do_handshake()
