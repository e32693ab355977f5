"""ServiceConfig: what a service is made of. YAML plus environment; every error names its place and the nearest key."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from deployments.config import Health, Logging, ModelConfig, Settings, Tracing, Watch
from deployments.errors import LoadError

SHUTDOWN_MARGIN_S = 15


Placement = Literal["spread", "pack"]


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """How large a body may be, in bytes, and how long it may take to come, in seconds."""

    size: int
    seconds: float


class Limits(Settings):
    """What one request may ask, and how much may wait."""

    max_header_kb: float = Field(default=16, gt=0, description="Largest request headers in KiB; beyond it 431.")
    max_body_mb: float = Field(default=25, gt=0, description="Largest request body in MiB; beyond it 413.")
    max_bodies_mb: float = Field(
        default=1024,
        gt=0,
        description="Bodies that one replica, or the gateway, holds at a time, in MiB; beyond them 429.",
    )
    body_timeout_s: float = Field(default=30, gt=0, description="Time for a request's body to come; beyond it 408.")
    max_batch_items: int = Field(default=1024, ge=1, description="Most inputs of one client batch; beyond it 413.")
    max_input_tokens: int = Field(default=262_144, ge=1, description="Most tokens of one request; beyond it 413.")
    max_waiting: int = Field(default=512, ge=1, description="Requests under way in one replica; beyond it 429.")
    max_pixels: int = Field(default=50_000_000, ge=1, description="Most pixels of one picture; beyond it 413.")
    max_audio_seconds: float = Field(default=1800, gt=0, description="Longest recording; beyond it 413.")
    request_timeout_s: float = Field(default=60, gt=0, description="Time for an answer; beyond it 504.")

    @property
    def body(self) -> BodyLimit:
        """Of a request's body."""
        return BodyLimit(int(self.max_body_mb * 1024 * 1024), self.body_timeout_s)

    @property
    def shutdown_s(self) -> int:
        """How long a replica that goes away may take: longer than its longest request."""
        return int(self.request_timeout_s) + SHUTDOWN_MARGIN_S


class MediaSources(Settings):
    """Where pictures and recordings may come from, beside the request itself."""

    allow_urls: tuple[str, ...] = Field(
        default=(), description="Hosts from which an `http(s)` URL as input is fetched; default: none."
    )


class Auth(Settings):
    """Who may ask."""

    api_keys_file: str | None = Field(
        default=None, description="File of the API keys' hashes (`automodel-serve key`); default: nobody needs one."
    )


class Cors(Settings):
    """Which web pages may ask from a browser."""

    allow_origins: tuple[str, ...] = Field(
        default=(), description="Origins such as `https://app.example`, or `*` for any page; default: none."
    )
    max_age_s: int = Field(default=600, ge=0, description="How long a browser may keep what it was told of this.")


class Metrics(Settings):
    """What is measured."""

    enabled: bool = Field(default=True, description="Whether anything is measured; /metrics is empty otherwise.")
    public: bool = Field(default=False, description="Whether /metrics can be read without an API key.")


class Options(Settings):
    """What holds for every model of a service."""

    limits: Limits = Limits()
    media: MediaSources = MediaSources()
    auth: Auth = Auth()
    cors: Cors = Cors()
    metrics: Metrics = Metrics()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    health: Health = Health()

    @property
    def watch(self) -> Watch:
        """How replicas are watched."""
        return Watch(metrics=self.metrics.enabled, logging=self.logging, tracing=self.tracing, health=self.health)


class Grpc(Settings):
    """The Open Inference Protocol over gRPC."""

    port: int | None = Field(
        default=None, ge=1, le=65535, description="Port to listen on, at the address of HTTP; default: no gRPC."
    )


class Service(Options):
    """A service: its models, and what holds for all of them. Reads nothing but what it is given."""

    models: list[ModelConfig] = Field(min_length=1)
    placement: Placement = Field(
        default="spread",
        description="Replicas on all nodes, or on as few as hold them (`pack`). Ray reads it when it starts.",
    )
    grpc: Grpc = Grpc()

    @field_validator("models")
    @classmethod
    def _unique_names(cls, models: list[ModelConfig]) -> list[ModelConfig]:
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two models are called {', '.join(twice)}; give each its own `name`")
        return models

    @property
    def options(self) -> Options:
        """The service without its models."""
        return Options(**{name: getattr(self, name) for name in Options.model_fields})


class ServiceConfig(BaseSettings, Service):
    """A service as configured; `AUTOMODEL_SERVE_LIMITS__MAX_WAITING=64` in the environment goes before the file."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOMODEL_SERVE_", env_nested_delimiter="__", extra="forbid", frozen=True, protected_namespaces=()
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def embedded_config(added: Sequence[str] = (), left_out: Sequence[str] = ()) -> ServiceConfig:
    """The service without a configuration file: every embedded model that need not be asked for.

    Args:
        added: names of embedded models that have to be asked for.
        left_out: names of those to leave out.

    Raises:
        LoadError: a name is none of theirs; the message names the nearest.
    """
    from deployments.zoo.embedded import DEFAULT, EMBEDDED

    for name in (*added, *left_out):
        if name not in EMBEDDED:
            near = difflib.get_close_matches(name, EMBEDDED, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(EMBEDDED)}"
            raise LoadError(f"no embedded model {name!r}; {hint}")
    chosen = [e for e in EMBEDDED.values() if (e.name in DEFAULT or e.name in added) and e.name not in left_out]
    return ServiceConfig(models=[ModelConfig(model=f"embedded:{e.name}", name=e.name, task=e.task) for e in chosen])


def config_from_models(models: Sequence[str]) -> ServiceConfig:
    """The service of some hub ids, folders or embedded models, all with default settings."""
    return ServiceConfig(models=[ModelConfig.model_validate({"model": _absolute(model)}) for model in models])


def _absolute(model: str) -> str:
    """Replicas run in another working directory: a folder's path must not depend on it."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def absolute_paths(data: Any, base: Path) -> Any:
    """Model folders and files that a configuration file names, taken relative to it."""
    data = _absolute_models(data, base)
    auth = data.get("auth") if isinstance(data, dict) else None
    if isinstance(auth, dict) and isinstance(auth.get("api_keys_file"), str):
        return {**data, "auth": {**auth, "api_keys_file": str((base / auth["api_keys_file"]).resolve())}}
    return data


def _absolute_models(data: Any, base: Path) -> Any:
    if not isinstance(data, dict) or not isinstance(data.get("models"), list):
        return data
    models = [
        {**model, "model": str((base / model["model"]).resolve())}
        if isinstance(model, dict) and isinstance(model.get("model"), str) and (base / model["model"]).is_dir()
        else model
        for model in data["models"]
    ]
    return {**data, "models": models}
