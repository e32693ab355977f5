"""What chats and completions share: OpenAI's options as task parameters, and token usage."""

from typing import Annotated, Any

from pydantic import Field

from deployments.generation.sampling.params import MIN_SEED, SEEDS
from serve.apis.client_request import ClientRequest
from serve.upstream.replicas import Reply

DONE = b"data: [DONE]\n\n"  # the end of a stream
FINISH_REASONS = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}

TOP_K_OFF = -1  # vLLM's; here 0


class StreamOptions(ClientRequest):
    """What a stream has beside its text."""

    lacking = {"continuous_usage_stats": (False,)}
    without_effect = frozenset({"include_obfuscation"})

    include_usage: bool = False


# Of vLLM's and llama.cpp's clients.
_LACKING: dict[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "stop_token_ids": ([],),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "spaces_between_special_tokens": (True,),
    "length_penalty": (1.0, 1),
    "use_beam_search": (False,),
    "prompt_logprobs": (),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "truncate_prompt_tokens": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "adapter_id": (),
}


class GenerationOptions(ClientRequest):
    """Options of both."""

    lacking = _LACKING
    without_effect = frozenset(
        {
            "user",
            "metadata",
            "store",
            "service_tier",
            "safety_identifier",
            "prompt_cache_key",
            "priority",
            "cache_prompt",
        }
    )

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=MIN_SEED, le=SEEDS - 1)  # JSON of the schema has 64 bits
    n: Annotated[int, Field(ge=1)] = 1
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    # Extensions that vLLM's and TGI's clients send.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @property
    def token_limit(self) -> int | None:
        """Maximum tokens to write. For 0 the model writes one, which is left out; the prompt is checked and counted."""
        return None

    @property
    def writes_nothing(self) -> bool:
        return self.token_limit == 0

    def visible_texts(self, texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The generated texts as the client sees them."""
        return [_without_text(text) for text in texts] if self.writes_nothing else texts

    def visible_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event of a stream as the client sees it."""
        return _event_without_text(event) if self.writes_nothing else event

    def usage_of(self, reply: Reply) -> dict[str, int]:
        """The usage of a whole response."""
        generated = 0 if self.writes_nothing else int(reply.header(b"x-generated-tokens") or 0)
        return usage(int(reply.header(b"x-prompt-tokens") or 0), generated)

    def parameters(self) -> dict[str, Any]:
        """The task's parameters."""
        parameters: dict[str, Any] = {
            "max_new_tokens": 1 if self.writes_nothing else self.token_limit,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": 0 if self.top_k == TOP_K_OFF else self.top_k,
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


def _without_text(text: dict[str, Any]) -> dict[str, Any]:
    """A generated text of a request that writes nothing."""
    details = text["details"] | {"finish_reason": "length", "tokens": [], "top_tokens": [], "generated_tokens": 0}
    return text | {"generated_text": "", "details": details}


def _event_without_text(event: dict[str, Any]) -> dict[str, Any]:
    """The only event of such a text in a stream."""
    details = event["details"] and event["details"] | {"finish_reason": "length", "generated_tokens": 0}
    return event | {"token": event["token"] | {"text": ""}, "details": details}


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
