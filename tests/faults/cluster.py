"""A rendered RayService on machines that are not there: a head, two workers, Redis; the front before the workers."""

import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from serve.cli.render import render_ray_service
from serve.config.file import read_config_file
from tests.faults.machines import Machines
from tests.faults.pod import Pod
from tests.faults.redis_server import RedisServer
from tests.running_front import RunningFront

HEAD, WORKERS = 0, (1, 2)
PORT = 8000
PATIENCE_S = 180.0


class Cluster:
    """Started from a configuration; a context manager.

    Attributes:
        front: what clients ask.
        pods: that run, by their machine.

    Args:
        folder: for logs and files.
        config: a service's configuration.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.pods: dict[int, Pod] = {}
        self._folder = folder
        self._token = secrets.token_hex(32)
        self._ray_service = self._render(config)
        self._machines = Machines(1 + len(WORKERS))
        self._redis = RedisServer(self._machines.here, folder)
        environment = {"UPSTREAM": "", "MAX_BODY_BYTES": "1000000", "TIMEOUT_SERVER": "75s", "HARD_STOP": "5s"}
        self.front = RunningFront(folder, environment, self._before_every_worker)

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._machines)
            stack.enter_context(self._redis)
            stack.callback(self._end_pods)
            self.start_head()
            for worker in WORKERS:
                time.sleep(7)  # a worker that comes while another is being registered is taken for lost, on two cores
                self.start_worker(worker)
            self.wait_until(self._deploy, "its dashboard answers")
            stack.enter_context(self.front)
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def deploy(self, config: str) -> None:
        """As KubeRay does with a changed `serveConfigV2`."""
        self._ray_service = self._render(config)
        self._deploy()

    def start_head(self) -> None:
        redis = {"RAY_REDIS_ADDRESS": self._redis.address, "RAY_external_storage_namespace": "automodel-serve"}
        group = self._ray_service["spec"]["rayClusterConfig"]["headGroupSpec"]
        self._start(HEAD, group, ("--head", f"--redis-password={self._redis.password}"), redis)

    def start_worker(self, number: int) -> None:
        (group,) = self._ray_service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        # KubeRay's own, where the head's state is in Redis: how long a worker waits for a new head.
        patience = {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
        self._start(number, group, (f"--address={self._machines.address(HEAD)}:6379",), patience)

    def kill(self, number: int) -> None:
        self.pods.pop(number).kill()

    def unplug(self, number: int) -> None:
        self._machines.unplug(number)

    def plug_in(self, number: int) -> None:
        self._machines.plug_in(number)

    def replicas(self, application: str) -> list[int]:
        """Process ids of its replicas on all machines."""
        return [process.pid for pod in self.pods.values() for process in pod.replicas(application)]

    def models(self) -> dict[str, Any]:
        """What `/health/ready` says of each; nothing where it does not answer."""
        try:
            with self.front.client() as client:
                models: dict[str, Any] = client.get("/health/ready").json()["models"]
        except (httpx.HTTPError, KeyError, ValueError):
            return {}
        return models

    def is_ready(self, **replicas: int) -> bool:
        """Whether models are ready with so many replicas each."""
        models = self.models()
        return all(
            models.get(name, {}).get("state") == "ready" and len(self.replicas(name)) == wanted
            for name, wanted in replicas.items()
        )

    def wait_until_ready(self, **replicas: int) -> None:
        self.wait_until(lambda: self.is_ready(**replicas), f"{replicas} are ready")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Ask again and again whether something holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, f"not after {PATIENCE_S} s: {what}; {self._told()}; logs: {self._folder}"
            time.sleep(0.5)

    def _start(self, number: int, group: Any, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token}
        log = self._folder / f"pod-{number}.log"
        self.pods[number] = Pod(self._machines, number, group, arguments, environment, log)

    def _render(self, config: str) -> Any:
        path = self._folder / "service.yaml"
        path.write_text(config, encoding="utf-8")
        return yaml.safe_load(render_ray_service(read_config_file(path)))

    def _deploy(self) -> bool:
        config = yaml.safe_load(self._ray_service["spec"]["serveConfigV2"])
        try:
            return self._serve("PUT", json=config).status_code == 200
        except httpx.TransportError:
            return False

    def _told(self) -> str:
        """What Serve says of its deployments."""
        applications = self._serve("GET").json()["applications"]
        deployments = {name: told["deployments"] for name, told in applications.items()}
        return "\n".join(
            f"{name}: {each['status']} {each['message']} {[(r['state'], r.get('node_ip')) for r in each['replicas']]}"
            for name, of in deployments.items()
            for each in of.values()
        )

    def _serve(self, method: str, **options: Any) -> httpx.Response:
        """Serve's own API, on the dashboard, as KubeRay asks it."""
        url = f"http://{self._machines.address(HEAD)}:8265/api/serve/applications/"
        return httpx.request(method, url, headers={"authorization": f"Bearer {self._token}"}, timeout=30, **options)

    def _before_every_worker(self, front: str) -> str:
        """In place of the Service of a cluster, which passes connections on to the workers that are there."""
        name, address = "    server serve ", '"${UPSTREAM}"'
        (line,) = (line for line in front.splitlines() if line.startswith(name))
        servers = (
            line.replace(name, f"    server worker{number} ").replace(
                address, f"{self._machines.address(number)}:{PORT}"
            )
            for number in WORKERS
        )
        return front.replace(line, "\n".join(servers))

    def _end_pods(self) -> None:
        for number in sorted(self.pods, reverse=True):
            self.kill(number)
