"""`media`: pictures and recordings under 64 callers, against the same files known beforehand. One torch thread.

The limit runs before, between and after the service's loads, so that a machine that slows down slows both.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.measurement import KEPT_HEADERS, Measured, measure
from loadtests.bench.media.offline import MediaPass, media_offline
from loadtests.bench.servers import start as contenders
from loadtests.load.closed_load import Load
from loadtests.load.load_process import LoadProcess, load_process
from loadtests.report.progress import Say
from loadtests.traffic.media_files import pictures, recordings

CALLERS = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """One model and what it is sent."""

    model: str
    task: str
    content_type: str
    make: Callable[[Path, int], list[Path]]


SUBJECTS = {
    "image": Subject("embedded:efficientnet-lite0", "image-classification", "image/jpeg", pictures),
    "audio": Subject("embedded:spoken-digit", "audio-classification", "audio/flac", recordings),
    "ctc": Subject("embedded:spoken-digits-ctc", "speech-recognition-ctc", "audio/flac", recordings),
}
PARTS = tuple(SUBJECTS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        files: how many, of each kind.
        requests: of one load; files are sent again from the start.
        rounds: how often every service is started.
        loads: of a service in a round, each between two passes of its limit.
        parts: of `PARTS`.
    """

    files: int = 200
    requests: int = 600
    rounds: int = 2
    loads: int = 2
    parts: tuple[str, ...] = PARTS


@dataclass(slots=True)
class Figures:
    """Everything measured, by part."""

    files: int
    loads: int
    measured: dict[str, list[Measured]] = field(default_factory=lambda: defaultdict(list))
    limits: dict[str, list[MediaPass]] = field(default_factory=lambda: defaultdict(list))


def run(plan: Plan, say: Say) -> Figures:
    """Measure all parts of the plan."""
    figures = Figures(plan.files, plan.loads)
    with TemporaryDirectory(prefix="bench-") as folder, load_process() as loads:
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            for part in plan.parts:
                _part(part, plan, Path(folder), loads, figures, say)
    return figures


def _part(part: str, plan: Plan, folder: Path, loads: LoadProcess, figures: Figures, say: Say) -> None:
    subject = SUBJECTS[part]
    place = folder / part
    if not place.exists():
        place.mkdir()
        subject.make(place, plan.files)
    files = tuple(str(path) for path in sorted(place.iterdir()))
    say(f"{part}: loading the model for its limit")
    with media_offline(subject.model, place) as limit:
        limit.run()  # the first calls are slower

        def run_limit() -> None:
            done = limit.run()
            figures.limits[part].append(done)
            say(f"limit {part}: {len(files) / done.wall_s:.1f}/s, forwards alone {len(files) / done.forward_s:.1f}/s")

        run_limit()
        say(f"{part}: starting")
        with contenders.service(folder, subject.model, task=subject.task) as server:
            load = Load(
                server.port,
                f"/tasks/{subject.task}",
                [],
                plan.requests,
                CALLERS,
                headers=KEPT_HEADERS,
                files=files,
                content_type=subject.content_type,
            )
            loads.run(load)  # warm
            for _ in range(plan.loads):
                measured = measure(server, loads, load)
                figures.measured[part].append(measured)
                say(f"{part}: {measured.requests_per_s:.1f}/s, p50 {measured.p50_ms:.0f} ms, failed {measured.failed}")
                run_limit()
