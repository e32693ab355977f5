"""CPU accounting on toy processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from loadtests.processes.child import wait_until
from loadtests.processes.environment import SERVER_MARK, child_environment
from loadtests.processes.process_tree import ProcessTree

MARK_VALUE = f"test-{os.getpid()}"

# Burns CPU itself, starts a child that burns as much, and, if told so, ends at once so that the child is orphaned.
TOY = """
import subprocess, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
if sys.argv[1] == "leaf":
    burn(0.3); print("burnt", flush=True); time.sleep(60)
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], "leaf"], start_new_session=True)
if sys.argv[1] == "orphan": sys.exit()
burn(0.3); print("burnt", flush=True); time.sleep(60)
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(kind: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", TOY, kind, TOY],
            env=child_environment(MARK_VALUE),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for each in ProcessTree(process.pid, MARK_VALUE).processes():
            each.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def burnt(process: "subprocess.Popen[str]", times: int) -> None:
    assert process.stdout is not None
    for _ in range(times):
        assert process.stdout.readline() == "burnt\n"


def test_a_child_in_a_session_of_its_own_is_counted(start: Start) -> None:
    process = start("parent")
    tree = ProcessTree(process.pid, MARK_VALUE)
    before = tree.usage()
    burnt(process, 2)
    after = tree.usage()
    assert len(after.cpu_s) == 2
    assert 0.4 < after.since(before) < 2
    assert 0.2 < after.busiest_thread_since(before) < after.since(before)


def test_an_orphan_is_found_by_its_mark(start: Start) -> None:
    process = start("orphan")
    tree = ProcessTree(process.pid, MARK_VALUE)
    burnt(process, 1)
    process.wait()
    usage = tree.usage()
    assert process.pid not in usage.cpu_s
    assert len(usage.cpu_s) == 1
    assert sum(usage.cpu_s.values()) > 0.25


def test_an_orphan_that_was_seen_before_needs_no_mark(start: Start) -> None:
    process = start("parent")
    tree = ProcessTree(process.pid, "a mark that nobody has")
    assert wait_until(lambda: len(tree.processes()) == 2, 10)
    process.kill()
    process.wait()
    assert len(tree.processes()) == 1


def test_other_processes_are_not_counted(start: Start) -> None:
    mine = start("parent")
    tree = ProcessTree(mine.pid, MARK_VALUE)
    assert os.getpid() not in {process.pid for process in tree.processes()}
    assert SERVER_MARK not in os.environ


def test_memory_is_found_by_title(start: Start) -> None:
    process = start("parent")
    tree = ProcessTree(process.pid, MARK_VALUE)
    resident = tree.resident_mib("-c")
    assert resident is not None
    assert 2 < resident < 200
    assert tree.resident_mib("no such title") is None
