"""Where the time of a run went: by folder, by start of a service, and the slowest tests.

CPU seconds are those of a worker and of the processes that it waited for; on a busy machine they say more.
"""

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SLOWEST = 10
_CPU, _START, _COLLECTING = "cpu_s", "service_start", "collecting_cpu_s"

_starts: list[tuple[str, float]] = []  # of this process, since the last report


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Time the start of a service, or of a cluster."""
    began = time.monotonic()
    try:
        yield
    finally:
        _starts.append((what, time.monotonic() - began))


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _ticks() -> list[int]:
    """Of all processors since they began: user, nice, system, idle, iowait, irq, softirq, steal; none without Linux."""
    stat = Path("/proc/stat")
    return [int(count) for count in stat.read_text().split("\n")[0].split()[1:9]] if stat.exists() else []


def _processors(before: list[int]) -> str:
    """What they did since then: steal is what the host gave to other machines."""
    since = [now - then for now, then in zip(_ticks(), before, strict=True)]
    if not sum(since):
        return "processors: unknown"
    idle, stolen = (100 * ticks / sum(since) for ticks in (since[3] + since[4], since[7]))
    return f"{os.cpu_count()} processors: {idle:.0f} % idle, {stolen:.0f} % steal"


def _largest(sums: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(sums.items(), key=lambda item: -item[1])


def folder_of(nodeid: str) -> str:
    """`tests/deployments/tasks/test_a.py::b` is in tests/deployments/tasks; deeper folders count to the third."""
    folders = nodeid.split("::")[0].split("/")[:-1]
    return "/".join(folders[:3])


class TimeSpent:
    """A plugin of pytest: measures in the workers, and writes the summary where they report to."""

    def __init__(self) -> None:
        self._last_cpu_s = self._collecting = 0.0
        self._ticks = _ticks()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._tests: defaultdict[str, set[str]] = defaultdict(set)
        self._starts: list[tuple[str, str, float]] = []
        self._slowest: defaultdict[str, float] = defaultdict(float)

    def pytest_collection_finish(self) -> None:
        self._collecting = self._last_cpu_s = _cpu_s()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = _cpu_s()
        report.user_properties.append((_CPU, now - self._last_cpu_s))
        report.user_properties.extend((_START, start) for start in _starts)
        report.user_properties.append((_COLLECTING, self._collecting))  # once, with the first
        self._last_cpu_s, self._collecting = now, 0.0
        _starts.clear()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folder = folder_of(report.nodeid)
        self._tests[folder].add(report.nodeid)
        self._seconds[folder] += report.duration
        self._slowest[report.nodeid] += report.duration
        value: Any
        for name, value in report.user_properties:
            if name == _CPU:
                self._cpu[folder] += value
            elif name == _COLLECTING:
                self._cpu["importing and collecting"] += value
            elif name == _START:
                what, seconds = value
                self._starts.append((what, report.nodeid.split("::")[0], seconds))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Before pytest's own summary, which stays last."""
        if not self._tests:
            return
        write = terminalreporter.write_line
        terminalreporter.section("where the time went")
        write(_processors(self._ticks))
        write(f"{'seconds':>8} {'CPU s':>8} {'tests':>6}")
        for folder, cpu_s in _largest(self._cpu):
            write(f"{self._seconds[folder]:8.1f} {cpu_s:8.1f} {len(self._tests[folder]):6} {folder}")
        total = sum(map(len, self._tests.values()))
        write(f"{sum(self._seconds.values()):8.1f} {sum(self._cpu.values()):8.1f} {total:6} in all, over all workers")
        started = sum(seconds for _, _, seconds in self._starts)
        write(f"{started:8.1f} {'':8} {len(self._starts):6} starts of services and clusters")
        for what, file, seconds in self._starts:
            write(f"{seconds:8.1f} {'':15} {what} ({file})")
        write(f"{'seconds':>8}  slowest")
        for nodeid, seconds in _largest(self._slowest)[:SLOWEST]:
            write(f"{seconds:8.1f}  {nodeid}")
