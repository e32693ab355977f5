"""Ray Serve with its defaults, for a competitor's application, until SIGTERM."""

import logging
import signal
import threading

import ray
from ray import serve


def serve_until_told(app: serve.Application, port: int) -> None:
    stop = threading.Event()
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app)
        stop.wait()
    finally:
        serve.shutdown()
        ray.shutdown()
