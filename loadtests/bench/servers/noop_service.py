"""This service with a model that does nothing, deployed as by `serve.apps`.

`--model FOLDER --port PORT`; `--vectors`: the model returns vectors; `--unmeasured`: without metrics and access log.

It does not use the command line, which serves registered tasks only.
"""

import signal
import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from functools import partial
from typing import Any

from deployments.config import Logging, ModelConfig, Pooling
from deployments.contract.task import Task
from loadtests.bench.servers.noop_task import NoOp, NoVectors
from loadtests.bench.servers.start import NAME
from serve.cluster.launch import cluster
from serve.config.service import Metrics, ServiceConfig
from serve.routes import GATEWAY, RouteTable

UNMEASURED = {"metrics": Metrics(enabled=False), "logging": Logging(level="error")}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--vectors", action="store_true")
    parser.add_argument("--unmeasured", action="store_true")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with cluster("127.0.0.1", arguments.port):
        kind = NoVectors if arguments.vectors else NoOp
        _deploy(arguments.model, kind, UNMEASURED if arguments.unmeasured else {})
        stop.wait()


def _deploy(folder: str, kind: type[Task[Any, Any]], options: Mapping[str, Any]) -> None:
    # Ray Serve reads its environment when it is imported, so only after `cluster` has set it.
    from ray import serve

    from deployments.replica.deployment import build_deployment
    from deployments.replica.limits import ReplicaLimits
    from serve.gateway.app import build_gateway
    from serve.model.endpoint import build_endpoint

    config = ServiceConfig(models=[ModelConfig(model=folder, name=NAME, pooling=Pooling())], **options)
    table = RouteTable([(NAME, kind)])
    route = table.routes[0]
    endpoint = partial(build_endpoint, route=route, options=config.options)
    app = build_deployment(
        config.models[0],
        kind,
        endpoint,
        limits=ReplicaLimits(config.limits.max_waiting),
        cpu_threads=1,
        watch=config.options.watch,
        start=config.start,
    )
    serve.run_many(
        [
            serve.RunTarget(target=build_gateway(table, config), name=GATEWAY, route_prefix="/"),
            serve.RunTarget(target=app, name=NAME, route_prefix=route.prefix),
        ]
    )


if __name__ == "__main__":
    main()
