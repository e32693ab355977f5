"""All dashboards."""

from serve.observability.dashboard import Dashboard
from serve.observability.generation import generation
from serve.observability.objectives import Objectives
from serve.observability.one_model import one_model
from serve.observability.overview import overview


def dashboards(objectives: Objectives) -> tuple[Dashboard, ...]:
    """From the whole service to its parts."""
    return (overview(objectives), one_model(), generation(objectives))
