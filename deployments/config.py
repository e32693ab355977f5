"""ModelConfig: one served model. Frozen; unknown keys are errors; every default stands beside its name."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Settings(BaseModel):
    """Base of every configuration section: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Resources(Settings):
    """What one replica asks of the cluster, and how many threads it computes with."""

    num_cpus: float = Field(default=0.1, ge=0, description="Logical CPUs of one replica, for placement only.")
    num_gpus: float = Field(default=0, ge=0, description="GPUs of one replica; a fraction shares one.")
    accelerator_type: str | None = Field(default=None, description="Ray's name of the accelerator, such as `L4`.")
    memory_gib: float | None = Field(
        default=None, gt=0, description="GiB of memory of one replica, for placement only."
    )
    cpu_threads: int | None = Field(
        default=None, ge=1, description="torch's threads per replica; default: a fair share of the node's cores."
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Resources":
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError(f"num_gpus is a fraction of one GPU or a whole number of them, not {self.num_gpus:g}")
        if self.accelerator_type is not None and self.num_gpus == 0:
            raise ValueError("accelerator_type without num_gpus asks for no accelerator")
        return self


class Replicas(Settings):
    """How many replicas a model has. `min` below `max` scales with the load."""

    min: int = Field(default=1, ge=0)
    max: int = Field(default=1, ge=1)
    target_ongoing_requests: float = Field(default=32, gt=0, description="Requests per replica to scale towards.")
    scale_up_delay_s: float = Field(
        default=30, ge=0, description="How long more replicas must be called for before they are started."
    )
    scale_down_delay_s: float = Field(
        default=600, ge=0, description="How long fewer replicas must be enough, or none, before some are taken away."
    )
    max_per_node: int | None = Field(default=None, ge=1, description="Most replicas on one node; 1 spreads them.")

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if self.min > self.max:
            raise ValueError(f"replicas.min ({self.min}) is above replicas.max ({self.max})")
        return self


class Batching(Settings):
    """How rows are gathered for one forward. Values left out are derived from the device and the layout."""

    layout: Literal["auto", "packed", "padded", "stacked", "same-length", "alone"] = Field(
        default="auto", description="`auto` takes the first layout that equals running alone; see docs/architecture.md."
    )
    max_cost: int | None = Field(
        default=None, ge=1, description="Budget of one batch: tokens, pixels, or milliseconds of sound."
    )
    max_rows: int | None = Field(default=None, ge=1, description="Most rows of one batch.")
    max_padding: float = Field(default=0.10, ge=0, lt=1, description="Padded layout: largest share of padding.")
    record: bool = Field(
        default=True,
        description="Packed layout: run the model from a recorded graph, without Python, where that gives the same "
        "numbers to the last bit; see docs/architecture.md.",
    )


PoolingMode = Literal["mean", "cls", "last", "none"]


class Pooling(Settings):
    """How feature-extraction turns hidden states into one vector. Default: what the checkpoint says, else none."""

    mode: PoolingMode = "mean"
    normalize: bool = False


class Audio(Settings):
    """How recordings go through a model."""

    chunk_length_s: float = Field(
        default=30,
        ge=0,
        description="Longer recordings are read in chunks of so many seconds, at most the model's own window; 0: in "
        "one piece. Models with neither CTC nor windows always read in one piece.",
    )
    stride_length_s: float | tuple[float, float] | None = Field(
        default=None,
        description="Overlap of a chunk with those before and after it, or both apart; default: a sixth of it.",
    )
    max_seconds: float = Field(default=120, gt=0, description="Longest recording or chunk that is read in one piece.")


class Generation(Settings):
    """How a generating model writes. Values left out are derived from the model and the device."""

    engine: Literal["auto", "static", "paged"] = Field(
        default="auto",
        description="`auto`: in flight where the check at load finds that harmless; `static`: batches that start and "
        "end together; `paged`: transformers' continuous batching, for decoder-only models on GPUs.",
    )
    max_cache_tokens: int | None = Field(
        default=None, ge=16, description="Token places of the running batch's cache, prompts and padding included."
    )
    max_rows: int | None = Field(default=None, ge=1, description="Most rows that are written at once.")
    max_prefill_tokens: int = Field(
        default=512, ge=1, description="Tokens of prompts that are read between two steps of those that are written."
    )


class Health(Settings):
    """When a replica counts as broken, so that Ray replaces it."""

    max_forward_s: float = Field(
        default=600, gt=0, description="Longest time in one forward, or one step of writing, before a replica is stuck."
    )
    canary_s: float = Field(
        default=60,
        ge=0,
        description="A replica that has answered nothing for so long runs an example through its model; 0: never.",
    )
    period_s: float = Field(default=10, gt=0, description="Time between two health checks; three in a row must fail.")


class Logging(Settings):
    """What the service's own log lines look like."""

    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text where `up` runs on a terminal, else one JSON object a line."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written; a request's line is `info`, of an error `warning`."
    )


class Tracing(Settings):
    """Where traces go, and how many of them."""

    endpoint: str | None = Field(
        default=None,
        pattern="^https?://",
        description="OTLP collector that spans are sent to over HTTP, such as `http://127.0.0.1:4318`; default: none.",
    )
    sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced, of those whose caller has not decided it (`traceparent`).",
    )


class Watch(Settings):
    """How a replica is watched."""

    metrics: bool = True
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    health: Health = Health()


class ModelConfig(Settings):
    """One served model."""

    model: str = Field(min_length=1, description="Hub id, local folder, or `embedded:NAME`.")
    name: ModelName = Field(default="", description="Unique; used in paths, metrics, logs. Default: from `model`.")
    task: str | None = Field(default=None, description="Default: read from the checkpoint's config.json.")
    revision: str | None = Field(default=None, description="Commit, tag or branch on the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = Field(
        default=None, description="Default: float32 on a CPU, the checkpoint's own on a GPU (`auto`)."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="`auto`: cuda when num_gpus is above 0.")
    resources: Resources = Resources()
    replicas: Replicas = Replicas()
    batching: Batching = Batching()
    pooling: Pooling | None = None
    audio: Audio = Audio()
    generation: Generation = Generation()
    max_length: int | None = Field(default=None, ge=8, description="Tokens read of a text; default: the model's own.")

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_model(cls, data: Any) -> Any:
        """The name's default: the last part of the hub id or folder."""
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("model"), str):
            last = re.split(r"[/:]", data["model"].rstrip("/"))[-1]
            return {**data, "name": re.sub(r"[^A-Za-z0-9._-]+", "-", last)[:63].lstrip("._-") or "model"}
        return data
