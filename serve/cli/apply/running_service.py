"""RunningService: the configuration of a running service, read back from Serve."""

from collections.abc import Mapping
from dataclasses import dataclass

from serve.applications import ModelArguments, ServeApplication
from serve.config.service import Service


class ApplyError(Exception):
    """The running service cannot be changed in this way; the message says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class RunningApplication:
    """One running application.

    Attributes:
        app: as it was built.
        version: Serve's version; replicas are kept if the same version is deployed again.
        has_failed: its replicas failed to start or are unhealthy.
    """

    app: ServeApplication
    version: str
    has_failed: bool = False

    @property
    def arguments(self) -> ModelArguments:
        """The arguments of a model's application."""
        assert isinstance(self.app.arguments, ModelArguments)
        return self.app.arguments


@dataclass(frozen=True, slots=True)
class RunningService:
    """A running service.

    Attributes:
        gateway: the application at "/".
        models: the others, by name.
    """

    gateway: RunningApplication
    models: Mapping[str, RunningApplication]

    @property
    def service(self) -> Service:
        """The service's configuration, as the gateway has it."""
        assert isinstance(self.gateway.app.arguments, Service)
        return self.gateway.app.arguments
