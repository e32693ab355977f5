"""How the tokens of a row are chosen: what a request asks, over what the checkpoint's `generation_config` says.

Every option means what it means to transformers' `generate`, so that a row gives what `generate` gives for it alone.
`frequency_penalty` and `presence_penalty`, which transformers has not, mean what they mean to OpenAI: they count the
tokens generated so far, not those of the prompt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput

if TYPE_CHECKING:
    from transformers import GenerationConfig

MAX_TOP_TOKENS = 20  # as many as OpenAI answers with
SEEDS = 2**64

# What `generate` assumes where neither the request nor the checkpoint says anything.
_ASSUMED = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
_ASSUMED_NEW_TOKENS = 256  # as transformers' pipelines do; `generate` itself would stop after 20

# Options of `generation_config` that change the tokens and that the sampler has not, with the values that mean "off".
_NOT_SERVED: dict[str, tuple[Any, ...]] = {
    "num_beams": (None, 1),
    "guidance_scale": (None, 1),
    "sequence_bias": (None,),
    "encoder_repetition_penalty": (None, 1.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "exponential_decay_length_penalty": (None,),
    "top_h": (None,),
    "epsilon_cutoff": (None, 0.0, 1.0),
    "eta_cutoff": (None, 0.0, 1.0),
    "watermarking_config": (None,),
}


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """The options of one row. Token ids are the model's; every default means "off".

    Attributes:
        do_sample: draw from the distribution; else take the most likely token.
        temperature: above 0; divides the logits before drawing.
        top_k: draw from the k most likely tokens; 0 for all.
        top_p: draw from the fewest tokens that have this much of the probability together; in (0, 1].
        min_p: draw from tokens at least this share as likely as the likeliest; in [0, 1].
        typical_p: locally typical sampling (Meister et al. 2022), this much of the probability; in (0, 1].
        repetition_penalty: above 0; divides positive and multiplies negative logits of tokens in prompt and answer.
        frequency_penalty: in [-2, 2]; taken from a token's logit once for every time it was generated.
        presence_penalty: in [-2, 2]; taken once if the token was generated at all.
        no_repeat_ngram_size: no n tokens in a row come twice, prompt included; 0 for off.
        seed: 0 to 2**64 - 1; the same seed gives the same tokens. None for a fresh one.
        max_new_tokens: at least 1. The sampler only needs it to know when `forced_eos_token_id` is due.
        min_new_tokens: no token of `eos_token_ids` before so many tokens.
        eos_token_ids: tokens that end the row.
        bad_words: sequences of tokens that must not come; one that is a single end token is ignored.
        suppress_tokens: tokens that never come.
        begin_suppress_tokens: tokens that do not come first.
        forced_bos_token_id: the first token behind a decoder prefix of one token.
        forced_eos_token_id: tokens of which one comes last, at `max_new_tokens`; empty for none.
        logprobs: report the log-probability of every token.
        top_n_tokens: report so many of the likeliest tokens at every step, up to 20.

    Raises:
        InvalidInput: an option out of its range.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    seed: int | None = None
    max_new_tokens: int = _ASSUMED_NEW_TOKENS
    min_new_tokens: int = 0
    eos_token_ids: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: tuple[int, ...] = ()
    logprobs: bool = False
    top_n_tokens: int = 0

    def __post_init__(self) -> None:
        if self.do_sample and not 0 < self.temperature < math.inf:
            hint = "; for the most likely token every time, set do_sample to false"
            raise InvalidInput(f"temperature must be above 0, not {self.temperature}{hint}")
        _at_least("top_k", self.top_k, 0, "0 draws from all tokens")
        for name in ("top_p", "typical_p"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        _between("min_p", self.min_p, 0, 1)
        if not 0 < self.repetition_penalty < math.inf:
            raise InvalidInput(f"repetition_penalty must be above 0, not {self.repetition_penalty}; 1 is none")
        _between("frequency_penalty", self.frequency_penalty, -2, 2)
        _between("presence_penalty", self.presence_penalty, -2, 2)
        _at_least("no_repeat_ngram_size", self.no_repeat_ngram_size, 0, "0 lets everything repeat")
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise InvalidInput(f"seed must be between 0 and 2**64 - 1, not {self.seed}")
        _at_least("max_new_tokens", self.max_new_tokens, 1)
        _at_least("min_new_tokens", self.min_new_tokens, 0)
        if self.min_new_tokens > self.max_new_tokens:
            both = f"min_new_tokens ({self.min_new_tokens}) must not exceed max_new_tokens ({self.max_new_tokens})"
            raise InvalidInput(both)
        _between("top_n_tokens", self.top_n_tokens, 0, MAX_TOP_TOKENS)
        if not all(word and min(word) >= 0 for word in self.bad_words):
            raise InvalidInput("every entry of bad_words must be a list of one or more token ids")

    @property
    def uses_history(self) -> bool:
        """Whether the choice depends on which tokens came before."""
        return (
            self.repetition_penalty != 1
            or self.frequency_penalty != 0
            or self.presence_penalty != 0
            or self.no_repeat_ngram_size > 0
            or any(len(word) > 1 for word in self.bad_words)
        )


def sampling_params(
    config: "GenerationConfig", overrides: Mapping[str, Any], *, prompt_length: int = 1, room: int | None = None
) -> SamplingParams:
    """The options of a row: the checkpoint's, with the request's in their place.

    Args:
        config: of the checkpoint; where it says nothing, those of `generate` hold (50 for `top_k`), and 256 new
            tokens.
        overrides: of the request, by the names of `SamplingParams`; None is the same as not given.
        prompt_length: tokens that the decoder reads before its first own: the prompt of a decoder-only model, the
            prefix of an encoder-decoder. The checkpoint's `min_length` and `max_length` count them.
        room: tokens that the model can count behind the prompt; a default is not more.

    Raises:
        InvalidInput: an option out of its range, or a prompt as long as the checkpoint's `max_length`.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    options: dict[str, Any] = {name: _or(getattr(config, name, None), value) for name, value in _ASSUMED.items()}
    options |= {
        "repetition_penalty": _or(config.repetition_penalty, 1.0),
        "no_repeat_ngram_size": _or(config.no_repeat_ngram_size, 0),
        "max_new_tokens": given.get("max_new_tokens") or _max_new_tokens(config, prompt_length, room),
        "eos_token_ids": _ids(config.eos_token_id),
        "bad_words": tuple(_ids(word) for word in config.bad_words_ids or ()),
        "suppress_tokens": _ids(config.suppress_tokens),
        "begin_suppress_tokens": _ids(config.begin_suppress_tokens),
        "forced_bos_token_id": config.forced_bos_token_id,
        "forced_eos_token_id": _ids(config.forced_eos_token_id),
    }
    # A checkpoint's minimum gives way to a request that wants less; the request's own may not contradict itself.
    least = _or(config.min_new_tokens, (config.min_length or 0) - prompt_length)
    options["min_new_tokens"] = min(max(0, least), options["max_new_tokens"])
    return SamplingParams(**(options | given))


def unsupported_options(config: "GenerationConfig") -> list[str]:
    """Options that this `generation_config` sets and the sampler has not; such a checkpoint needs `generate` itself."""
    return [name for name, off in _NOT_SERVED.items() if getattr(config, name, None) not in off]


def _max_new_tokens(config: "GenerationConfig", prompt_length: int, room: int | None) -> int:
    if config.max_new_tokens is not None or config.max_length is None:
        default = int(_or(config.max_new_tokens, _ASSUMED_NEW_TOKENS))
        return default if room is None else max(1, min(default, room))
    if config.max_length <= prompt_length:
        limit = f"this model's default is {config.max_length} tokens, prompt included, and the prompt has"
        raise InvalidInput(f"{limit} {prompt_length}: say with max_new_tokens how many are wanted")
    return int(config.max_length - prompt_length)


def _or(value: Any, instead: Any) -> Any:
    return instead if value is None else value


def _ids(value: Any) -> tuple[int, ...]:
    """One id, a list of them or None, as `generation_config` has them."""
    if value is None:
        return ()
    return (int(value),) if isinstance(value, int) else tuple(int(token) for token in value)


def _at_least(name: str, value: int, least: int, hint: str = "") -> None:
    if value < least:
        raise InvalidInput(f"{name} must be at least {least}, not {value}" + (f"; {hint}" if hint else ""))


def _between(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InvalidInput(f"{name} must be between {least} and {most}, not {value}")
