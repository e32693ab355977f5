"""`media`: image and audio tasks with 64 clients, compared with offline batches of the same files. One compute thread.

The offline passes run before, between and after the loads, because the speed of a shared machine changes.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loadtests.bench.measurement import KEPT_HEADERS, Measurement, measure
from loadtests.bench.media.offline import MediaOffline, OfflinePass, media_offline
from loadtests.bench.servers.start import service
from loadtests.load.http_load import ClosedLoad
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.report.progress import Log
from loadtests.traffic.media_files import write_images, write_recordings

CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and its inputs."""

    model: str
    task: str
    content_type: str
    write: Callable[[Path, int], list[Path]]


SUBJECTS = {
    "image": Subject("embedded:efficientnet-lite0", "image-classification", "image/jpeg", write_images),
    "audio": Subject("embedded:spoken-digit", "audio-classification", "audio/flac", write_recordings),
    "ctc": Subject("embedded:spoken-digits-ctc", "speech-recognition-ctc", "audio/flac", write_recordings),
}
PARTS = tuple(SUBJECTS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        files: number of files, for each part.
        requests: number of requests of one load; files are sent again from the start.
        rounds: number of times that each service is started and measured.
        loads: number of loads on a service per round, each between two offline passes.
        parts: of `PARTS`.
    """

    files: int = 200
    requests: int = 600
    rounds: int = 2
    loads: int = 2
    parts: tuple[str, ...] = PARTS


QUICK: dict[str, Any] = {"files": 100, "requests": 300, "rounds": 1}


@dataclass(slots=True)
class Measurements:
    """By part: of the service, and offline."""

    files: int
    loads: int
    service: dict[str, list[Measurement]] = field(default_factory=lambda: defaultdict(list))
    offline: dict[str, list[OfflinePass]] = field(default_factory=lambda: defaultdict(list))


def run(plan: Plan, log: Log) -> Measurements:
    """Measure all parts of the plan."""
    done = Measurements(plan.files, plan.loads)
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        for number in range(plan.rounds):
            log(f"round {number + 1} of {plan.rounds}")
            for part in plan.parts:
                _Part(part, plan, Path(folder), done, log).run(loads)
    return done


class _Part:
    """One part in one round."""

    def __init__(self, name: str, plan: Plan, folder: Path, done: Measurements, log: Log) -> None:
        self._name, self._plan, self._folder, self._done, self._log = name, plan, folder, done, log
        self._subject = SUBJECTS[name]
        self._files = folder / name
        if not self._files.exists():
            self._files.mkdir()
            self._subject.write(self._files, plan.files)

    def run(self, loads: LoadProcess) -> None:
        subject = self._subject
        self._log(f"{self._name}: loading the model for the offline passes")
        with media_offline(subject.model, self._files) as offline:
            offline.run()  # the first calls are slower
            self._run_offline(offline)
            self._log(f"{self._name}: starting")
            with service(self._folder, subject.model, task=subject.task) as server:
                load = self._load(server.port)
                loads.run(load)  # warm-up
                for _ in range(self._plan.loads):
                    done = measure(server, loads, load)
                    self._done.service[self._name].append(done)
                    latency = f"p50 {done.p50_ms:.0f} ms, failed {done.failed}"
                    self._log(f"{self._name}: {done.requests_per_s:.1f} files/s, {latency}")
                    self._run_offline(offline)

    def _run_offline(self, offline: MediaOffline) -> None:
        done = offline.run()
        self._done.offline[self._name].append(done)
        rate, forward = self._plan.files / done.wall_s, self._plan.files / done.forward_s
        self._log(f"{self._name} offline: {rate:.1f} files/s, {forward:.1f} files/s for the forwards alone")

    def _load(self, port: int) -> ClosedLoad:
        return ClosedLoad(
            port=port,
            path=f"/tasks/{self._subject.task}",
            files=[str(path) for path in sorted(self._files.iterdir())],
            content_type=self._subject.content_type,
            requests=self._plan.requests,
            concurrency=CLIENTS,
            headers=KEPT_HEADERS,
        )
