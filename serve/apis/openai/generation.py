"""What chats and completions share: OpenAI's options as task parameters, and token usage."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serve.upstream.replicas import Reply

DONE = b"data: [DONE]\n\n"  # the end of a stream
FINISH_REASONS = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class StreamOptions(BaseModel):
    """What a stream has beside its text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class GenerationOptions(BaseModel):
    """Options of both. `user`, `metadata` and `store` are accepted without effect; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1)] = 1
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    # Extensions that vLLM's and TGI's clients send.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def parameters(self, max_tokens: int | None) -> dict[str, Any]:
        """The task's parameters."""
        parameters: dict[str, Any] = {
            "max_new_tokens": max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop or None,
            "seed": self.seed,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "repetition_penalty": self.repetition_penalty,
        }
        if self.temperature == 0:  # OpenAI's way to request greedy decoding
            parameters |= {"temperature": None, "top_p": None, "top_k": None, "do_sample": False}
        if self.n > 1:
            parameters["num_return_sequences"] = self.n
        return {name: value for name, value in parameters.items() if value is not None}

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its token usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class StreamUsage:
    """Counts the tokens of a stream.

    Args:
        n: choices per prompt. The tokens of a prompt count once.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._prompt_tokens: dict[int, int] = {}
        self._completion_tokens = 0

    def add(self, choice: int, details: dict[str, Any]) -> None:
        """Add a finished choice."""
        self._prompt_tokens[choice // self._n] = details["input_length"]
        self._completion_tokens += details["generated_tokens"]

    def total(self) -> dict[str, int]:
        return usage(sum(self._prompt_tokens.values()), self._completion_tokens)


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's usage object."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def usage_of(reply: Reply) -> dict[str, int]:
    """The usage of a whole response."""
    return usage(int(reply.header(b"x-prompt-tokens") or 0), int(reply.header(b"x-generated-tokens") or 0))
