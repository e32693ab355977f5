"""How the service begins and ends: refusals in words, two replicas that lose nothing, no process left."""

import asyncio
import json
import socket
import subprocess
import sys
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from tests.checkpoints import small_checkpoint
from tests.service.running import RunningService

pytestmark = pytest.mark.ray


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serve.cli.main", *arguments], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")


def test_a_port_in_use_is_refused(checkpoint: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("up", "--model", str(checkpoint), "--port", str(port))
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


def test_a_head_that_is_missing_is_refused_at_load(tmp_path: Path) -> None:
    body = small_checkpoint(tmp_path / "body", "bert", "MaskedLM")
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - model: {body}\n    name: headless\n    task: text-classification\n")
    service = RunningService(str(config), log=tmp_path / "log")
    assert service.process.wait(120) == 1
    log = service.log.read_text()
    assert "headless" in log
    assert "the checkpoint has no weights for" in log
    assert "classifier.weight" in log
    service.stop()
    assert service.left == []


async def test_a_killed_replica_loses_no_request_and_the_end_leaves_no_process(
    tmp_path: Path, checkpoint: Path
) -> None:
    """Whether a request comes in one piece or its head before its body, as httpx and others send it."""
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - model: {checkpoint}\n    name: twins\n    replicas: {{min: 2, max: 2}}\n")
    service = RunningService(str(config), log=tmp_path / "log")
    with service:
        replicas = service.replicas("twins")
        assert len(replicas) == 2
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:

            async def ask(number: int) -> int:
                await asyncio.sleep(1 if number in together else number * 0.01)
                text = {"inputs": f"text {number}"}
                if number % 2:
                    return await ask_in_two_pieces(service.port, "/tasks/text-classification", text)
                return (await client.post("/tasks/text-classification", json=text)).status_code

            async def kill() -> None:
                await asyncio.sleep(0.95)
                replicas[0].suspend()  # so that many requests are in its hands
                await asyncio.sleep(0.3)
                replicas[0].kill()

            together = range(100, 164)
            killing = asyncio.create_task(kill())
            statuses = await asyncio.gather(*(ask(number) for number in range(400)))
            await killing
        assert statuses == [200] * 400
        assert service.stop() == 0
    assert service.left == []
    assert "Traceback" not in service.log.read_text()


async def ask_in_two_pieces(port: int, path: str, body: dict[str, str], pause_s: float = 0.005) -> int:
    """A POST whose body comes after its head, on a connection of its own; the answer's status, 0 without one."""
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode())
    await asyncio.sleep(pause_s)
    writer.write(content)
    line = await reader.readline()
    writer.close()
    return int(line.split()[1]) if line else 0


def test_a_request_that_does_not_come_as_a_whole_is_answered_by_haproxy(tmp_path: Path, checkpoint: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(f"limits: {{body_timeout_s: 1.5}}\nmodels:\n  - model: {checkpoint}\n    name: judge\n")
    with RunningService(str(config), log=tmp_path / "log") as service:
        head = b"POST /tasks/text-classification HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        status, body = answer_to(service.port, head + b"content-length: 20\r\n\r\n{")
        assert (status, json.loads(body)) == (
            408,
            {"error": "the request did not arrive in time", "error_type": "body_timeout", "request_id": None},
        )
        assert answer_to(service.port, head)[0] == 408
        assert answer_to(service.port, head + b"no header\r\n\r\n")[0] == 400


def answer_to(port: int, sent: bytes) -> tuple[int, bytes]:
    """Status and body of what comes back for these bytes and no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()
