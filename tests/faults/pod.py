"""A pod of a rendered RayService, as processes of a machine: what KubeRay would make of it, without the container."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from loadtests.processes.environment import SERVER_MARK
from loadtests.processes.process_tree import ProcessTree
from serve.cluster.haproxy_overload import BINARY_VARIABLE, overload_program
from tests.faults.machines import Machines
from tests.replica_processes import replicas_among


class Pod:
    """Ray started with the environment and the parameters of a group of the RayService.

    Args:
        machines: where it runs.
        number: on which of them.
        group: `headGroupSpec`, or one of `workerGroupSpecs`.
        arguments: of `ray start`, beside the group's own.
        environment: what KubeRay adds.
        log: of its output.
    """

    def __init__(
        self,
        machines: Machines,
        number: int,
        group: Mapping[str, Any],
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        container = group["template"]["spec"]["containers"][0]
        given = {"num-cpus": container["resources"]["requests"]["cpu"]} | group["rayStartParams"]
        self._folder = tempfile.TemporaryDirectory(prefix="am", ignore_cleanup_errors=True)  # sockets' paths are short
        command = [
            str(Path(sys.executable).parent / "ray"),
            "start",
            "--block",
            f"--node-ip-address={machines.address(number)}",
            f"--temp-dir={self._folder.name}",
            *(f"--{name}={value}" for name, value in given.items()),
            *arguments,
        ]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        variables[BINARY_VARIABLE] = str(overload_program())  # as the image sets it
        with log.open("w") as output:
            self._process = subprocess.Popen(
                machines.on(number, *command),
                env=os.environ | variables | environment | {"PYTHONPATH": os.getcwd(), SERVER_MARK: self._folder.name},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tree = ProcessTree(self._process.pid, self._folder.name)

    def replicas(self, application: str) -> list[psutil.Process]:
        """The processes of a Serve application's replicas."""
        return replicas_among(self._tree.processes(), application)

    def kill(self) -> None:
        """All of its processes at once, with no time to say good-bye."""
        tree = self._tree.processes()
        for process in tree:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        psutil.wait_procs(tree, timeout=10)
        self._folder.cleanup()
