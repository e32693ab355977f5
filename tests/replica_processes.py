"""The processes of replicas, by the names that Ray gives them."""

from collections.abc import Iterable

import psutil


def replicas_among(processes: Iterable[psutil.Process], application: str) -> list[psutil.Process]:
    """Those of a Serve application; a process that has gone meanwhile is none."""
    mark = f"ServeReplica:{application}:"
    return [process for process in processes if mark in " ".join(_command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return command
