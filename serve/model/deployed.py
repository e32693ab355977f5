"""ModelEndpoint: what a model's deployment is handed. It builds the replica's application, and says what of."""

from dataclasses import dataclass

from deployments.replica.replica import Replica
from serve.applications import ModelArguments
from serve.middleware.stack import Layered
from serve.model.endpoint import endpoint_builder
from serve.routes import Route


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """Builds the ASGI application of one model.

    Attributes:
        arguments: of its Serve application, by which a running service can be asked what it was made of.
        route: to the model.
    """

    arguments: ModelArguments
    route: Route

    def __call__(self, replica: Replica) -> Layered:
        return endpoint_builder(self.route, self.arguments.options)(replica)
