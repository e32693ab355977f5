"""How the service begins: refusals in words; and what its front does for clients: a replica that dies loses nothing."""

import asyncio
import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from tests.checkpoints import small_checkpoint
from tests.command_line import run
from tests.service.configured import EVERYTHING, bearer
from tests.service.running import RunningService
from tests.waiting import until_async

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")


def test_a_port_in_use_is_refused(checkpoint: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        # It comes so far that it would start Ray: in a process of its own.
        command = [sys.executable, "-m", "serve.cli.main", "up", "--model", str(checkpoint), "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used: Address already in use" in ended.stderr


def test_a_bad_configuration_ends_it_before_ray_starts(tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text("models:\n  - model: a\n    devise: cpu\n")
    for verb in ("up", "check"):
        ended = run(verb, str(config))
        assert ended.returncode == 1
        assert ended.stderr.strip() == f"error: {config}:3: unknown key `models.0.devise`; did you mean `device`?"


def test_check_says_what_would_be_served(tmp_path: Path, checkpoint: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - model: {checkpoint}\n    name: judge\n")
    ended = run("check", str(config))
    assert ended.returncode == 0, ended.stderr
    assert "judge" in ended.stdout
    assert "text-classification" in ended.stdout


@pytest.mark.parametrize(
    ("model", "message"),
    [("./absent", "./absent: no such folder"), ("embedded:minilmm", "no embedded model 'minilmm'")],
)
def test_a_model_that_is_not_there(model: str, message: str) -> None:
    ended = run("up", "--model", model)
    assert ended.returncode == 1
    assert message in ended.stderr


async def test_a_killed_replica_loses_no_request(configured: RunningService) -> None:
    """Whether a request comes in one piece or its head before its body, as httpx and others send it."""
    replicas = configured.replicas("twins")
    assert len(replicas) == 2
    async with httpx.AsyncClient(base_url=configured.url, headers=bearer(EVERYTHING), timeout=60) as client:

        async def ask(number: int, pause_s: float = 0.0) -> int:
            await asyncio.sleep(pause_s)
            text = {"inputs": f"text {number}"}
            if number % 2:
                return await ask_in_two_pieces(configured.port, "/tasks/text-classification", text)
            return (await client.post("/tasks/text-classification", json=text)).status_code

        before = await asyncio.gather(*(ask(number) for number in range(100)))
        replicas[0].suspend()  # so that many requests are in its hands
        meanwhile = [asyncio.create_task(ask(number)) for number in range(64)]
        await until_async(lambda: sum(task.done() for task in meanwhile) > 4)  # the other's
        replicas[0].kill()
        after = await asyncio.gather(*(ask(number, 0.01 * number) for number in range(240)))
        statuses = [*before, *await asyncio.gather(*meanwhile), *after]
    assert statuses == [200] * (100 + 64 + 240)


async def ask_in_two_pieces(port: int, path: str, body: dict[str, str], pause_s: float = 0.005) -> int:
    """A POST whose body comes after its head, on a connection of its own; the answer's status, 0 without one."""
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {EVERYTHING}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode())
    await asyncio.sleep(pause_s)
    writer.write(content)
    line = await reader.readline()
    writer.close()
    return int(line.split()[1]) if line else 0


def test_a_request_that_does_not_come_as_a_whole_is_answered_by_haproxy(configured: RunningService) -> None:
    head = b"POST /tasks/text-classification HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    sent = [head + b"content-length: 20\r\n\r\n{", head, head + b"no header\r\n\r\n"]
    with ThreadPoolExecutor() as pool:
        half, silent, wrong = pool.map(lambda each: answer_to(configured.port, each), sent)
    assert (half[0], json.loads(half[1])) == (
        408,
        {"error": "the request did not arrive in time", "error_type": "body_timeout", "request_id": None},
    )
    assert (silent[0], wrong[0]) == (408, 400)


def answer_to(port: int, sent: bytes) -> tuple[int, bytes]:
    """Status and body of what comes back for these bytes and no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()
