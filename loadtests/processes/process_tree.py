"""CPU time and memory of a server and all processes that it started.

Ray's daemons may be reparented, and its workers overwrite their environment when they set their title. So a process
belongs to a server if it carries the server's mark, is in the server's session, or has a parent that belongs to it.
"""

import os
from collections import defaultdict
from dataclasses import dataclass

import psutil

from loadtests.processes.environment import SERVER_MARK


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time that the processes have used so far.

    Attributes:
        cpu_s: user and system time by process, including children that have ended.
        thread_cpu_s: user and system time by process and thread.
    """

    cpu_s: dict[int, float]
    thread_cpu_s: dict[tuple[int, int], float]

    def since(self, before: "Usage") -> float:
        """CPU seconds used since `before`. Processes that ended in between are not counted."""
        return sum(max(0.0, used - before.cpu_s.get(pid, 0.0)) for pid, used in self.cpu_s.items())

    def busiest_thread_since(self, before: "Usage") -> float:
        """CPU seconds of the thread that used the most since `before`: the model's, if it runs on one thread."""
        return max((used - before.thread_cpu_s.get(key, 0.0) for key, used in self.thread_cpu_s.items()), default=0.0)


class ProcessTree:
    """A server's processes.

    Args:
        root: the process that was started.
        mark: value of `SERVER_MARK` in its environment.
        session: the session that it leads, if any.
    """

    def __init__(self, root: int, mark: str, session: int | None = None) -> None:
        self._root = root
        self._mark = mark
        self._session = session
        self._known: dict[int, float] = {}  # process ids that belong to it, with their creation time

    def processes(self) -> list[psutil.Process]:
        """All that are running, the root first."""
        children: dict[int, list[psutil.Process]] = defaultdict(list)
        belonging: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["ppid", "create_time"]):
            children[process.info["ppid"]].append(process)
            if self._belongs(process):
                belonging[process.pid] = process
        waiting = list(belonging)
        while waiting:
            for child in children[waiting.pop()]:
                if child.pid not in belonging:
                    belonging[child.pid] = child
                    waiting.append(child.pid)
        self._known |= {pid: process.info["create_time"] for pid, process in belonging.items()}
        return sorted(belonging.values(), key=lambda process: process.pid != self._root)

    def usage(self) -> Usage:
        usage = Usage({}, {})
        for process in self.processes():
            try:
                times = process.cpu_times()
                threads = process.threads()
            except psutil.Error:
                continue
            # Running children are counted by themselves; the times of children that were waited for appear only here.
            usage.cpu_s[process.pid] = times.user + times.system + times.children_user + times.children_system
            for thread in threads:
                usage.thread_cpu_s[process.pid, thread.id] = thread.user_time + thread.system_time
        return usage

    def resident_mib(self, part_of_title: str) -> float | None:
        """Resident memory of the process whose title contains this; None if there is no such process."""
        for process in self.processes():
            try:
                if part_of_title in " ".join(process.cmdline()):
                    return float(process.memory_info().rss / 2**20)
            except psutil.Error:
                continue
        return None

    def _belongs(self, process: psutil.Process) -> bool:
        if process.pid == self._root or self._known.get(process.pid) == process.info["create_time"]:
            return True
        try:
            return process.environ().get(SERVER_MARK) == self._mark or self._is_of_session(process.pid)
        except (psutil.Error, OSError):
            return False

    def _is_of_session(self, pid: int) -> bool:
        return self._session is not None and os.getsid(pid) == self._session
