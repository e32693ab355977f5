"""The gateway by itself, without Ray."""

from deployments.registry import find_task
from serve.cluster.states import ModelState
from serve.config.service import ServiceConfig
from serve.gateway.app import Gateway
from serve.routes import RouteTable


async def test_a_new_gateway_has_looked_at_the_models_before_it_is_asked() -> None:
    """A model counts as ready a while after it was first seen: at the first question that would be too late."""
    table = RouteTable([("judge", find_task("text-classification"))])
    gateway = Gateway(table, ServiceConfig(models=[{"model": "embedded:prompt-injection", "name": "judge"}]))  # type: ignore[list-item]
    looked = []

    class Reader:
        def read(self) -> dict[str, ModelState]:
            looked.append("judge")
            return {"judge": ModelState("ready", "", 1)}

    gateway._reader = Reader()  # type: ignore[assignment]
    application = gateway.__serve_build_asgi_app__()
    async with application.router.lifespan_context(application):
        assert looked == ["judge"]
