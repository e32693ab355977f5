"""A service with the embedded models, started for one load test on a free loopback port."""

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.error import URLError

from deployments.registry import TASKS
from deployments.zoo.embedded import DEFAULT, EMBEDDED
from loadtests.processes.child import wait_until
from loadtests.processes.server import START_LIMIT_S, ServerError, running_server


@contextmanager
def embedded_service(models: Sequence[str]) -> Iterator[str]:
    """Run `automodel-serve up` and yield its URL once every model is ready.

    Args:
        models: names of embedded models that are served by default; empty for all.

    Raises:
        ServerError: the service does not start, or a name is unknown.
    """
    if unknown := [name for name in models if name not in DEFAULT]:
        raise ServerError(f"no embedded model {', '.join(unknown)}; known: {', '.join(DEFAULT)}")
    served = [name for name in DEFAULT if not models or name in models]
    without = [option for name in DEFAULT if name not in served for option in ("--without", name)]
    first = EMBEDDED[served[0]]
    body = json.dumps(TASKS[first.task].example)
    with running_server("serve.cli.main", ["up", *without], f"/tasks/{first.task}", body, model=first.name) as server:
        url = f"http://127.0.0.1:{server.port}"
        if not wait_until(lambda: _is_ready(url), START_LIMIT_S, 0.5):
            raise ServerError(f"not all models are ready after {START_LIMIT_S} s")
        yield url


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=10) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
