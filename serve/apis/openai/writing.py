"""What chat and text completions share: OpenAI's options to those of the tasks, and the answers' parts back."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serve.upstream.replicas import Reply

FINISH = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


class StreamOptions(BaseModel):
    """What a stream says beside its text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class Options(BaseModel):
    """Options of both. What changes nothing here (`user`, `metadata`, `store`) is accepted; unknown fields are not."""

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
    # Options that vLLM's and TGI's clients send beside OpenAI's.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def parameters(self, most: int | None) -> dict[str, Any]:
        """The task's parameters; `most` is the number of tokens to write."""
        given: dict[str, Any] = {
            "max_new_tokens": most,
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
        if self.temperature == 0:  # OpenAI's way to ask for the likeliest token
            given |= {"temperature": None, "top_p": None, "top_k": None, "do_sample": False}
        if self.n > 1:
            given["num_return_sequences"] = self.n
        return {name: value for name, value in given.items() if value is not None}

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the tokens used."""
        return self.stream_options is not None and self.stream_options.include_usage


class StreamUsage:
    """Counts the tokens of a stream's texts.

    Args:
        n: texts to one prompt, each of which is read once.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._read: dict[int, int] = {}
        self._written = 0

    def add(self, choice: int, details: dict[str, Any]) -> None:
        """A text has ended."""
        self._read[choice // self._n] = details["input_length"]
        self._written += details["generated_tokens"]

    def total(self) -> dict[str, int]:
        return usage(sum(self._read.values()), self._written)


def usage(read: int, written: int) -> dict[str, int]:
    """Tokens used."""
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def usage_of(reply: Reply) -> dict[str, int]:
    """Tokens that a whole answer took."""
    return usage(int(reply.header(b"x-prompt-tokens") or 0), int(reply.header(b"x-generated-tokens") or 0))
