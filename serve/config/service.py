"""ServiceConfig: the configuration of a service, from YAML and the environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from deployments.config import Health, Logging, ModelConfig, Settings, Start, Tracing, Watch
from deployments.errors import LoadError, did_you_mean

SHUTDOWN_MARGIN_S = 15

Placement = Literal["spread", "pack"]


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The maximum size of a body in bytes, and the time for it to arrive in seconds."""

    size: int
    seconds: float


class Limits(Settings):
    """Limits on requests and queues."""

    max_header_kb: float = Field(default=16, gt=0, description="Maximum size of the request headers in KiB; else 431.")
    max_body_mb: float = Field(default=25, gt=0, description="Maximum size of a request body in MiB; else 413.")
    max_bodies_mb: float = Field(
        default=1024,
        gt=0,
        description="Maximum size of all bodies in one replica or the gateway at a time, in MiB; else 429.",
    )
    body_timeout_s: float = Field(default=30, gt=0, description="Time for a request body to arrive; else 408.")
    max_batch_items: int = Field(default=1024, ge=1, description="Maximum number of inputs in one request; else 413.")
    max_input_tokens: int = Field(
        default=262_144, ge=1, description="Maximum number of tokens in one request; else 413."
    )
    max_waiting: int = Field(
        default=512, ge=1, description="Maximum number of requests in progress in one replica; else 429."
    )
    max_pixels: int = Field(default=50_000_000, ge=1, description="Maximum number of pixels of one image; else 413.")
    max_audio_seconds: float = Field(default=1800, gt=0, description="Maximum duration of one recording; else 413.")
    request_timeout_s: float = Field(default=60, gt=0, description="Time for a response; else 504.")

    @property
    def body(self) -> BodyLimit:
        return BodyLimit(int(self.max_body_mb * 1024 * 1024), self.body_timeout_s)

    @property
    def shutdown_s(self) -> int:
        """Time for a replica to shut down: longer than its longest request."""
        return int(self.request_timeout_s) + SHUTDOWN_MARGIN_S


class MediaSources(Settings):
    """Sources of images and audio beside the request itself."""

    allow_urls: tuple[str, ...] = Field(
        default=(), description="Hosts whose `http(s)` URLs are accepted as inputs; default: none."
    )


class Auth(Settings):
    """Authentication."""

    api_keys_file: str | None = Field(
        default=None,
        description="File with the hashes of API keys (`automodel-serve key`); default: no authentication.",
    )


class Cors(Settings):
    """Access by web pages."""

    allow_origins: tuple[str, ...] = Field(
        default=(), description="Origins such as `https://app.example`, or `*` for any page; default: none."
    )
    max_age_s: int = Field(default=600, ge=0, description="How long browsers may cache a preflight response.")


class Metrics(Settings):
    """Metrics."""

    enabled: bool = Field(default=True, description="Whether metrics are recorded; otherwise /metrics is empty.")
    public: bool = Field(default=False, description="Whether /metrics needs no API key.")


class Options(Settings):
    """Options that apply to every model of a service."""

    start: Start = Field(
        default="fork",
        description="How replicas start: as forks of one process that has imported the libraries (`fork`; Linux, "
        "without GPUs), or each as a new process (`spawn`).",
    )
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
        """How replicas are observed."""
        return Watch(metrics=self.metrics.enabled, logging=self.logging, tracing=self.tracing, health=self.health)


class Grpc(Settings):
    """The Open Inference Protocol over gRPC."""

    port: int | None = Field(
        default=None, ge=1, le=65535, description="Port to listen on, at the same address as HTTP; default: no gRPC."
    )


class Service(Options):
    """A service: its models, and the options of all. Unlike `ServiceConfig`, it does not read the environment."""

    models: list[ModelConfig] = Field(min_length=1)
    placement: Placement = Field(
        default="spread",
        description="Replicas on all nodes, or on as few as possible (`pack`). Read when Ray starts.",
    )
    grpc: Grpc = Grpc()

    @field_validator("models")
    @classmethod
    def _unique_names(cls, models: list[ModelConfig]) -> list[ModelConfig]:
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate model names: {', '.join(twice)}; give each its own `name`")
        return models

    @property
    def options(self) -> Options:
        """The service without its models."""
        return Options(**{name: getattr(self, name) for name in Options.model_fields})


class ServiceConfig(BaseSettings, Service):
    """A configured service. `AUTOMODEL_SERVE_LIMITS__MAX_WAITING=64` in the environment overrides the file."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOMODEL_SERVE_", env_nested_delimiter="__", extra="forbid", frozen=True, protected_namespaces=()
    )

    builds: Literal["make", "use"] = Field(
        default="make",
        description="Whether `up` and `apply` export models that have no build yet, once, before they start them; "
        "`use`: what has no build is computed by torch.",
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


def embedded_config(added: Sequence[str] = (), excluded: Sequence[str] = ()) -> ServiceConfig:
    """The service without a configuration file: the embedded models, except those that are opt-in.

    Args:
        added: names of opt-in models to serve as well.
        excluded: names of models to leave out.

    Raises:
        LoadError: an unknown name; the message names the nearest.
    """
    from deployments.zoo.embedded import DEFAULT, EMBEDDED

    for name in (*added, *excluded):
        if name not in EMBEDDED:
            raise LoadError(f"no embedded model {name!r}; {did_you_mean(name, EMBEDDED)}")
    chosen = [e for e in EMBEDDED.values() if (e.name in DEFAULT or e.name in added) and e.name not in excluded]
    return ServiceConfig(models=[ModelConfig(model=f"embedded:{e.name}", name=e.name, task=e.task) for e in chosen])


def config_from_models(models: Sequence[str]) -> ServiceConfig:
    """A service of hub ids, folders or embedded models, all with default settings."""
    return ServiceConfig(models=[ModelConfig.model_validate({"model": _absolute(model)}) for model in models])


def _absolute(model: str) -> str:
    """Replicas run in another working directory, so that a folder's path must be absolute."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def absolute_paths(data: Any, base: Path) -> Any:
    """Resolve the model folders and files of a configuration relative to its file."""
    data = _absolute_models(data, base)
    auth = data.get("auth") if isinstance(data, dict) else None
    if isinstance(auth, dict) and isinstance(auth.get("api_keys_file"), str):
        return {**data, "auth": {**auth, "api_keys_file": str((base / auth["api_keys_file"]).resolve())}}
    return data


def _absolute_models(data: Any, base: Path) -> Any:
    if not isinstance(data, dict) or not isinstance(data.get("models"), list):
        return data
    models = [
        _absolute_calibration({**model, "model": str((base / model["model"]).resolve())}, base)
        if isinstance(model, dict) and isinstance(model.get("model"), str) and (base / model["model"]).is_dir()
        else _absolute_calibration(model, base)
        for model in data["models"]
    ]
    return {**data, "models": models}


def _absolute_calibration(model: Any, base: Path) -> Any:
    if isinstance(model, dict) and isinstance(model.get("calibration"), str):
        return {**model, "calibration": str((base / model["calibration"]).resolve())}
    return model
