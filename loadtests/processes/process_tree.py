"""CPU and memory of a server with all the processes it started, wherever they hang by now.

Ray's daemons may be handed to another parent, and its workers overwrite their environment with their title. So a
process belongs to the server when it carries the server's mark, or is of the server's session, or when its parent does.
"""

import os
from collections import defaultdict
from dataclasses import dataclass

import psutil

from loadtests.processes.environment import MARK


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes have used up to now.

    Attributes:
        cpu_s: user and system time by process, children that have ended included.
        thread_cpu_s: user and system time by process and thread.
    """

    cpu_s: dict[int, float]
    thread_cpu_s: dict[tuple[int, int], float]

    def since(self, before: "Usage") -> float:
        """CPU seconds used after `before`; a process that ended in between counts nothing."""
        return sum(max(0.0, used - before.cpu_s.get(pid, 0.0)) for pid, used in self.cpu_s.items())

    def busiest_thread_since(self, before: "Usage") -> float:
        """CPU seconds of the one thread that used most after `before`: where a model runs on one thread, that one."""
        return max((used - before.thread_cpu_s.get(key, 0.0) for key, used in self.thread_cpu_s.items()), default=0.0)


class ProcessTree:
    """A server's processes.

    Args:
        root: the process that was started.
        mark: what `MARK` says in its environment.
        session: the session it leads, if it leads one.
    """

    def __init__(self, root: int, mark: str, session: int | None = None) -> None:
        self._root = root
        self._mark = mark
        self._session = session
        self._known: dict[int, float] = {}  # process ids that were seen to belong, with their creation time

    def processes(self) -> list[psutil.Process]:
        """All that live now, the root first where it does."""
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
            # Children that are still there are counted themselves; waited-for ones appear here only.
            usage.cpu_s[process.pid] = times.user + times.system + times.children_user + times.children_system
            for thread in threads:
                usage.thread_cpu_s[process.pid, thread.id] = thread.user_time + thread.system_time
        return usage

    def resident_mb(self, part_of_title: str) -> float | None:
        """Resident memory of the one process whose title holds this; None where there is none."""
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
            return process.environ().get(MARK) == self._mark or self._is_of_session(process.pid)
        except (psutil.Error, OSError):
            return False

    def _is_of_session(self, pid: int) -> bool:
        return self._session is not None and os.getsid(pid) == self._session
