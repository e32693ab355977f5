"""Every model in a process of its own: the memory that it took is the model's, and a model that takes too much ends
its own process alone.
"""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from deployments.config import ModelConfig
from deployments.errors import LoadError, ServiceError
from deployments.replica.footprint import Footprint, measure
from serve.routes import Route


def footprint_of(model: ModelConfig, route: Route) -> Footprint:
    """What one replica takes.

    Raises:
        LoadError: it cannot be served as configured; the message begins with the model's name.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(measure, model, route.kind).result()
        except BrokenProcessPool:
            raise LoadError(f"{model.name}: its process ended while it was measured; most likely for memory") from None
        except (LoadError, ServiceError) as error:
            told = error.message if isinstance(error, ServiceError) else str(error)
            raise LoadError(told if told.startswith(model.name) else f"{model.name}: {told}") from None
