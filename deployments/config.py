"""ModelConfig: the configuration of one served model. Frozen; unknown keys are errors."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Start = Literal["fork", "spawn"]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Settings(BaseModel):
    """Base of every configuration section: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Resources(Settings):
    """The resources that one replica requests, and its number of threads."""

    num_cpus: float = Field(default=0.1, ge=0, description="Logical CPUs per replica, for placement only.")
    num_gpus: float = Field(default=0, ge=0, description="GPUs per replica; a fraction shares a GPU.")
    accelerator_type: str | None = Field(default=None, description="Accelerator type as named by Ray, such as `L4`.")
    memory_gib: float | None = Field(default=None, gt=0, description="Memory per replica in GiB, for placement only.")
    cpu_threads: int | None = Field(
        default=None, ge=1, description="Compute threads per replica; default: an equal share of the node's cores."
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Resources":
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError(f"num_gpus must be below 1 or a whole number, not {self.num_gpus:g}")
        if self.accelerator_type is not None and self.num_gpus == 0:
            raise ValueError("accelerator_type needs num_gpus above 0")
        return self


class Replicas(Settings):
    """Number of replicas of a model. With `min` below `max` it follows the load."""

    min: int = Field(default=1, ge=0)
    max: int = Field(default=1, ge=1)
    target_ongoing_requests: float = Field(
        default=32, gt=0, description="Target number of ongoing requests per replica, for autoscaling."
    )
    scale_up_delay_s: float = Field(
        default=30, ge=0, description="How long the load must call for more replicas before they are started."
    )
    scale_down_delay_s: float = Field(
        default=600, ge=0, description="How long the load must allow fewer replicas (or none) before some are stopped."
    )
    max_per_node: int | None = Field(
        default=None, ge=1, description="Maximum replicas on one node; 1 spreads them over nodes."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Replicas":
        if self.min > self.max:
            raise ValueError(f"replicas.min ({self.min}) is above replicas.max ({self.max})")
        return self


class Batching(Settings):
    """How rows are batched for one forward. Defaults depend on the device and the layout."""

    layout: Literal["auto", "packed", "padded", "stacked", "same-length", "alone"] = Field(
        default="auto",
        description="`auto`: the first layout with the outputs of running alone; see docs/architecture.md.",
    )
    max_cost: int | None = Field(
        default=None, ge=1, description="Maximum cost of a batch: tokens, pixels, or milliseconds of audio."
    )
    max_rows: int | None = Field(default=None, ge=1, description="Maximum rows of a batch.")
    max_padding: float = Field(
        default=0.10, ge=0, lt=1, description="Padded layout: maximum share of padding in a batch."
    )
    record: bool = Field(
        default=True,
        description="Packed layout in torch: run the model from a traced graph, without Python, if outputs are "
        "bit-identical; see docs/architecture.md.",
    )


Pooled = Literal["mean", "cls", "last", "max", "mean_sqrt_len_tokens", "weightedmean"]  # sentence-transformers' names
PoolingMode = Literal[Pooled, "none"]


class Pooling(Settings):
    """How feature-extraction pools hidden states to one vector. Default: as in the checkpoint, else no pooling.

    `splade`: a sparse vector over the vocabulary, from the logits of a masked language model.
    """

    mode: PoolingMode | Literal["splade"] | tuple[Pooled, ...] = "mean"
    normalize: bool = False

    @property
    def modes(self) -> tuple[str, ...]:
        """The vectors of several modes are joined to one; none: hidden states."""
        if isinstance(self.mode, tuple):
            return self.mode
        return () if self.mode == "none" else (self.mode,)


LongForm = Literal["speech", "sequential", "overlap"]


class Audio(Settings):
    """How recordings are split for a model."""

    long_form: LongForm = Field(
        default="speech",
        description="How a model with windows (Whisper) reads recordings longer than a window. `speech`: in windows "
        "that begin and end where nobody speaks; a recording without speech, of any length, has an empty text. "
        "`sequential`: each window begins at the last timestamp of the one before, as in openai/whisper. `overlap`: in "
        "overlapping windows that are merged, as in transformers' pipeline with `chunk_length_s`; it loses words.",
    )
    chunk_length_s: float = Field(
        default=30,
        ge=0,
        description="Recordings longer than this are split into chunks of this length, at most the model's window; 0 "
        "disables chunking. Models with neither CTC nor windows never split recordings.",
    )
    stride_length_s: float | tuple[float, float] | None = Field(
        default=None,
        description="Overlap of neighbouring chunks, or [left, right]; default: a sixth of the chunk. Models with "
        "windows overlap them only with `long_form: overlap`.",
    )
    max_seconds: float = Field(default=120, gt=0, description="Maximum length of a recording or chunk in one forward.")


class Generation(Settings):
    """How a generating model runs. Defaults depend on the model and the device."""

    engine: Literal["auto", "static", "paged"] = Field(
        default="auto",
        description="`auto`: in-flight batching if the check at load passes, else static; `static`: the sequences of a "
        "batch start and end together; `paged`: transformers' continuous batching, decoder-only models on GPUs.",
    )
    max_cache_tokens: int | None = Field(
        default=None, ge=16, description="KV slots of the running batch, including prompts and padding."
    )
    max_rows: int | None = Field(default=None, ge=1, description="Maximum sequences in the running batch.")
    max_prefill_tokens: int = Field(
        default=512, ge=1, description="Maximum prompt tokens to prefill between two decoding steps."
    )
    prefix_cache: bool = Field(
        default=True,
        description="Whether the keys of equal beginnings of prompts are computed once, where OpenVINO computes.",
    )
    prompt_lookup: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Tokens that are guessed ahead from the text so far, for sequences decoded greedily, where "
        "OpenVINO computes; 0 guesses none.",
    )


class Health(Settings):
    """When a replica is unhealthy, so that Ray replaces it."""

    max_forward_s: float = Field(
        default=600,
        gt=0,
        description="A forward or decoding step that takes longer than this makes the replica unhealthy.",
    )
    canary_s: float = Field(
        default=60,
        ge=0,
        description="After this time without an answer, a replica runs an example through its model; 0: never.",
    )
    period_s: float = Field(
        default=10, gt=0, description="Time between health checks; a replica is replaced after three failures in a row."
    )


class Logging(Settings):
    """Format and level of the service's log."""

    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text if `up` runs on a terminal, else one JSON object per line."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum level; requests are logged as `info`, failed requests as `warning`."
    )


class Tracing(Settings):
    """Export and sampling of traces."""

    endpoint: str | None = Field(
        default=None,
        pattern="^https?://",
        description="OTLP/HTTP collector for spans, such as `http://127.0.0.1:4318`; default: no tracing.",
    )
    sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of requests to trace, among those whose caller has not decided (`traceparent`).",
    )


class Watch(Settings):
    """Monitoring of a replica."""

    metrics: bool = True
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    health: Health = Health()


class ModelConfig(Settings):
    """One served model."""

    model: str = Field(min_length=1, description="Hub id, local folder, or `embedded:NAME`.")
    name: ModelName = Field(default="", description="Unique name in paths, metrics and logs. Default: from `model`.")
    task: str | None = Field(default=None, description="Default: from the checkpoint's config.json.")
    revision: str | None = Field(default=None, description="Commit, tag or branch on the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] | None = Field(
        default=None,
        description="Default: float32 on a CPU, the checkpoint's dtype (`auto`) on a GPU. `int8`: a quantised build "
        "(`backend: openvino`), whose answers differ measurably. See docs/compute.md.",
    )
    calibration: str | None = Field(
        default=None,
        description="File that `int8` is calibrated with: the `inputs` of a request as JSON on each line. Default: "
        "the task's own examples.",
    )
    backend: Literal["auto", "torch", "openvino"] = Field(
        default="auto",
        description="What computes a forward on a CPU. `openvino` needs a build (`automodel-serve build`); `auto`: "
        "openvino where there is one that agrees with torch, else torch. See docs/compute.md.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="`auto`: cuda if num_gpus is above 0.")
    resources: Resources = Resources()
    replicas: Replicas = Replicas()
    batching: Batching = Batching()
    pooling: Pooling | None = None
    audio: Audio = Audio()
    generation: Generation = Generation()
    max_length: int | None = Field(
        default=None, ge=8, description="Maximum tokens of a text; default: the model's own limit."
    )

    @model_validator(mode="after")
    def _computable(self) -> "ModelConfig":
        if self.dtype == "int8" and self.backend == "torch":
            raise ValueError("dtype: int8 runs from builds of OpenVINO, not in torch; remove `backend: torch`")
        if self.dtype == "int8" and (self.device == "cuda" or self.resources.num_gpus > 0):
            raise ValueError("dtype: int8 runs from builds of OpenVINO on CPUs, not on a GPU")
        if self.calibration is not None and self.dtype != "int8":
            raise ValueError("calibration is of `dtype: int8` alone")
        return self

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_model(cls, data: Any) -> Any:
        """Default name: the last part of the hub id or folder."""
        if isinstance(data, dict) and "name" not in data and isinstance(data.get("model"), str):
            last = re.split(r"[/:]", data["model"].rstrip("/"))[-1]
            return {**data, "name": re.sub(r"[^A-Za-z0-9._-]+", "-", last)[:63].lstrip("._-") or "model"}
        return data
