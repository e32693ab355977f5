"""Two models of the moody task with two replicas each, put together as `serve.apps` does. `FOLDER --port PORT`."""

import signal
import threading
from argparse import ArgumentParser
from functools import partial

from deployments.config import ModelConfig
from serve.cluster.launch import cluster
from serve.config.service import ServiceConfig
from serve.routes import GATEWAY, RouteTable
from tests.service.moody_task import Moody

MODELS = ("first", "second")
HEALTH = {"max_forward_s": 8, "canary_s": 1, "period_s": 1}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with cluster("127.0.0.1", arguments.port):
        signal.signal(signal.SIGTERM, lambda *_: stop.set())  # Ray has put its own in place
        _deploy(arguments.folder)
        stop.wait()


def _deploy(folder: str) -> None:
    # Ray Serve reads its environment when it is imported: not before `cluster` has set it.
    from ray import serve

    from deployments.replica.deployment import build_deployment
    from deployments.replica.limits import ReplicaLimits
    from serve.gateway.app import build_gateway
    from serve.model.endpoint import build_endpoint

    models = [
        ModelConfig.model_validate({"model": folder, "name": n, "replicas": {"min": 2, "max": 2}}) for n in MODELS
    ]
    config = ServiceConfig.model_validate({"models": models, "health": HEALTH})
    table = RouteTable((name, Moody) for name in MODELS)
    targets = [serve.RunTarget(target=build_gateway(table, config), name=GATEWAY, route_prefix="/")]
    for model, route in zip(models, table.routes, strict=True):
        endpoint = partial(build_endpoint, route=route, options=config.options)
        app = build_deployment(
            model,
            Moody,
            endpoint,
            limits=ReplicaLimits(),
            cpu_threads=1,
            watch=config.options.watch,
            start=config.start,
        )
        targets.append(serve.RunTarget(target=app, name=route.model, route_prefix=route.prefix))
    serve.run_many(targets)


if __name__ == "__main__":
    main()
