"""RunningService: what a running service was made of, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from serve.applications import ModelArguments, ServeApplication
from serve.config.service import Service


class ApplyError(Exception):
    """What runs cannot be changed from here, or not in this way; the message says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class RunningApplication:
    """One application as Serve has it.

    Attributes:
        app: what it was made of.
        version: Serve's name of that; a replica of this version stays if it is deployed again.
        has_failed: its replicas did not start, or are not well.
    """

    app: ServeApplication
    version: str
    has_failed: bool = False

    @property
    def arguments(self) -> ModelArguments:
        """Of a model's application."""
        assert isinstance(self.app.arguments, ModelArguments)
        return self.app.arguments


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that runs.

    Attributes:
        gateway: the application at "/".
        models: the others by name.
    """

    gateway: RunningApplication
    models: Mapping[str, RunningApplication]

    @property
    def service(self) -> Service:
        """What is served, as the gateway was told."""
        assert isinstance(self.gateway.app.arguments, Service)
        return self.gateway.app.arguments
