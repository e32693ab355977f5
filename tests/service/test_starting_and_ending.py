"""How the service begins and ends: refusals in words, two replicas that lose nothing, no process left."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.checkpoints import small_checkpoint
from tests.service.running import RunningService

pytestmark = pytest.mark.ray


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serve.cli", *arguments], capture_output=True, text=True, timeout=timeout
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
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - model: {checkpoint}\n    name: twins\n    replicas: {{min: 2, max: 2}}\n")
    service = RunningService(str(config), log=tmp_path / "log")
    with service:
        replicas = service.replicas("twins")
        assert len(replicas) == 2
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            closed = []

            async def ask(number: int) -> int:
                await asyncio.sleep(number * 0.01)
                if number == 100:
                    replicas[0].kill()
                try:
                    answer = await client.post("/tasks/text-classification", json={"inputs": f"text {number}"})
                except httpx.RemoteProtocolError:
                    # What the killed replica had not read yet makes the kernel reset its connection, which HAProxy
                    # does not repeat: it closes the client's connection, and the client asks again.
                    closed.append(number)
                    answer = await client.post("/tasks/text-classification", json={"inputs": f"text {number}"})
                return answer.status_code

            statuses = await asyncio.gather(*(ask(number) for number in range(400)))
        assert statuses == [200] * 400
        assert len(closed) <= 8, closed
        assert service.stop() == 0
    assert service.left == []
    assert "Traceback" not in service.log.read_text()
