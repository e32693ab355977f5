"""SamplingParams: the options of a request over those of the checkpoint's `generation_config`.

Every option means what it means to transformers' `generate`, so a row gets the tokens that `generate` gives it alone.
`frequency_penalty` and `presence_penalty`, which transformers does not have, are OpenAI's: they count the tokens
generated so far, not those of the prompt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.errors import InvalidInput

if TYPE_CHECKING:
    from transformers import GenerationConfig

MAX_TOP_TOKENS = 20  # as OpenAI's API
SEEDS = 2**64
MIN_SEED = -(2**63)  # negative ones, which clients send as signed integers, are counted from `SEEDS`
GREEDY_TEMPERATURE = 1e-5  # and below: dividing by it leaves nothing to the likeliest token's rivals, or overflows
MAX_TEMPERATURE = 1e6

# Defaults of `generate` where neither the request nor the checkpoint sets a value.
_DEFAULTS = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
DEFAULT_NEW_TOKENS = 256  # as transformers' pipelines; `generate` itself would stop after 20
UNBOUNDED = 1 << 30  # `max_new_tokens` of a text whose model has no limit of positions; the engine's cache bounds it

# Options of `generation_config` that change the tokens and that the sampler does not have, with their "off" values.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
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
        do_sample: sample from the distribution; else take the likeliest token.
        temperature: above 0, at most a million; divides the logits before sampling.
        top_k: sample from the k likeliest tokens; 0 for all.
        top_p: sample from the fewest tokens with this total probability; in (0, 1].
        min_p: sample from tokens at least this fraction as likely as the likeliest; in [0, 1].
        typical_p: locally typical sampling (Meister et al. 2022) with this total probability; in (0, 1].
        repetition_penalty: above 0; divides positive and multiplies negative logits of tokens in prompt and answer.
        frequency_penalty: in [-2, 2]; subtracted from a token's logit once for every time it was generated.
        presence_penalty: in [-2, 2]; subtracted once if the token was generated at all.
        no_repeat_ngram_size: no n-gram of this size occurs twice, prompt included; 0 for off.
        seed: 0 to 2**64 - 1; the same seed gives the same tokens. None for a fresh one.
        max_new_tokens: at least 1. The sampler needs it only for `forced_eos_token_id`.
        min_new_tokens: no token of `eos_token_ids` before this many tokens.
        eos_token_ids: tokens that end the row.
        bad_words: sequences of tokens that must not occur; a single end token is ignored.
        suppress_tokens: tokens that are never sampled.
        begin_suppress_tokens: tokens that are not sampled first.
        forced_bos_token_id: the first token after a decoder prompt of one token.
        forced_eos_token_id: tokens of which one is forced at `max_new_tokens`; empty for none.
        logprobs: report the log-probability of every token.
        top_n_tokens: report this many of the likeliest tokens at every step, up to 20.
        prompt_logprobs: report the log-probabilities of the prompt's tokens, with `top_n_tokens`.

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
    max_new_tokens: int = DEFAULT_NEW_TOKENS
    min_new_tokens: int = 0
    eos_token_ids: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: tuple[int, ...] = ()
    logprobs: bool = False
    top_n_tokens: int = 0
    prompt_logprobs: bool = False

    def __post_init__(self) -> None:
        if self.do_sample and not 0 < self.temperature < math.inf:
            hint = "; for greedy decoding, set do_sample to false"
            raise InvalidInput(f"temperature must be above 0, not {self.temperature}{hint}")
        if self.do_sample and self.temperature > MAX_TEMPERATURE:
            raise InvalidInput(f"temperature must be at most {MAX_TEMPERATURE:,.0f}, not {self.temperature}")
        _at_least("top_k", self.top_k, 0, "0 samples from all tokens")
        for name in ("top_p", "typical_p"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        _between("min_p", self.min_p, 0, 1)
        if not 0 < self.repetition_penalty < math.inf:
            raise InvalidInput(f"repetition_penalty must be above 0, not {self.repetition_penalty}; 1 turns it off")
        _between("frequency_penalty", self.frequency_penalty, -2, 2)
        _between("presence_penalty", self.presence_penalty, -2, 2)
        _at_least("no_repeat_ngram_size", self.no_repeat_ngram_size, 0, "0 turns it off")
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise InvalidInput(f"seed must be between -2**63 and 2**64 - 1, not {self.seed}")
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
        """Whether the next token depends on the row's tokens other than through the model."""
        return (
            self.repetition_penalty != 1
            or self.frequency_penalty != 0
            or self.presence_penalty != 0
            or self.no_repeat_ngram_size > 0
            or any(len(word) > 1 for word in self.bad_words)
        )


def sampling_params(
    config: "GenerationConfig",
    overrides: Mapping[str, Any],
    *,
    prompt_length: int = 1,
    room: int | None = None,
    fill_context: bool = False,
) -> SamplingParams:
    """The options of a row: the checkpoint's, overridden by the request's.

    Args:
        config: of the checkpoint; where it sets nothing, the defaults of `generate` (50 for `top_k`) and 256 new
            tokens.
        overrides: of the request, by the names of `SamplingParams`; None is the same as not given.
        prompt_length: tokens of the decoder's prompt, which the checkpoint's `min_length` and `max_length` count.
        room: positions that the model has behind the prompt; the default of `max_new_tokens` does not exceed it.
        fill_context: that default is `room` unless the checkpoint sets `max_new_tokens`.

    Raises:
        InvalidInput: an option out of its range, or a prompt as long as the checkpoint's `max_length`.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if MIN_SEED <= given.get("seed", 0) < 0:
        given["seed"] += SEEDS
    options = _options_of(config)
    options["max_new_tokens"] = given.get("max_new_tokens") or _max_new_tokens(
        config, prompt_length, room, fill_context
    )
    # The checkpoint's minimum yields to the request's maximum; the request's own must not contradict itself.
    minimum = _or(config.min_new_tokens, (config.min_length or 0) - prompt_length)
    options["min_new_tokens"] = min(max(0, minimum), options["max_new_tokens"])
    options |= given
    if options["do_sample"] and 0 < options["temperature"] <= GREEDY_TEMPERATURE:
        options["do_sample"] = False
    return SamplingParams(**options)


def _options_of(config: "GenerationConfig") -> dict[str, Any]:
    """The checkpoint's options that do not depend on the prompt, by the names of `SamplingParams`."""
    options = {name: _or(getattr(config, name, None), value) for name, value in _DEFAULTS.items()}
    return options | {
        "repetition_penalty": _or(config.repetition_penalty, 1.0),
        "no_repeat_ngram_size": _or(config.no_repeat_ngram_size, 0),
        "eos_token_ids": _ids(config.eos_token_id),
        "bad_words": tuple(_ids(word) for word in config.bad_words_ids or ()),
        "suppress_tokens": _ids(config.suppress_tokens),
        "begin_suppress_tokens": _ids(config.begin_suppress_tokens),
        "forced_bos_token_id": config.forced_bos_token_id,
        "forced_eos_token_id": _ids(config.forced_eos_token_id),
    }


def unsupported_options(config: "GenerationConfig") -> list[str]:
    """Options that this `generation_config` sets and only `generate` itself has."""
    return [name for name, off in _UNSUPPORTED.items() if getattr(config, name, None) not in off]


def _max_new_tokens(config: "GenerationConfig", prompt_length: int, room: int | None, fill_context: bool) -> int:
    if config.max_new_tokens is not None or config.max_length is None or fill_context:
        default = int(_or(config.max_new_tokens, UNBOUNDED if fill_context else DEFAULT_NEW_TOKENS))
        return default if room is None else max(1, min(default, room))
    if config.max_length <= prompt_length:
        limit = f"this model's default is {config.max_length} tokens, prompt included, and the prompt has"
        raise InvalidInput(f"{limit} {prompt_length}; set max_new_tokens")
    return int(config.max_length - prompt_length)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _ids(value: Any) -> tuple[int, ...]:
    """One id, a list of ids or None to a tuple."""
    if value is None:
        return ()
    return (int(value),) if isinstance(value, int) else tuple(int(token) for token in value)


def _at_least(name: str, value: int, minimum: int, hint: str = "") -> None:
    if value < minimum:
        raise InvalidInput(f"{name} must be at least {minimum}, not {value}" + (f"; {hint}" if hint else ""))


def _between(name: str, value: float, minimum: float, maximum: float) -> None:
    if not minimum <= value <= maximum:
        raise InvalidInput(f"{name} must be between {minimum} and {maximum}, not {value}")
