"""Options of a row: what is refused, and what a checkpoint and a request make together."""

import math

import pytest
from transformers import GenerationConfig, TextGenerationPipeline

from deployments.errors import InvalidInput
from deployments.generation.sampling.params import (
    UNBOUNDED,
    SamplingParams,
    sampling_params,
    unsupported_options,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_sample": True, "temperature": 0.0}, "temperature must be above 0, not 0.0; for greedy decoding"),
        ({"do_sample": True, "temperature": -1.0}, "temperature must be above 0"),
        ({"do_sample": True, "temperature": math.nan}, "temperature must be above 0"),
        ({"do_sample": True, "temperature": math.inf}, "temperature must be above 0"),
        ({"do_sample": True, "temperature": 1e300}, "temperature must be at most 1,000,000"),
        ({"top_k": -1}, "top_k must be at least 0, not -1"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0"),
        ({"typical_p": math.nan}, "typical_p must be above 0"),
        ({"min_p": 1.5}, "min_p must be between 0 and 1, not 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0"),
        ({"frequency_penalty": 2.5}, "frequency_penalty must be between -2 and 2"),
        ({"presence_penalty": -3}, "presence_penalty must be between -2 and 2"),
        ({"no_repeat_ngram_size": -2}, "no_repeat_ngram_size must be at least 0"),
        ({"seed": -1}, r"seed must be between -2\*\*63 and"),
        ({"seed": 2**64}, r"seed must be between -2\*\*63 and"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, not 0"),
        ({"min_new_tokens": 300}, r"min_new_tokens \(300\) must not exceed max_new_tokens \(256\)"),
        ({"top_n_tokens": 21}, "top_n_tokens must be between 0 and 20"),
        ({"bad_words": ((),)}, "every entry of bad_words"),
    ],
)
def test_what_is_refused_says_what_would_be_right(options, message):
    with pytest.raises(InvalidInput, match=message):
        SamplingParams(**options)


def test_a_greedy_row_may_have_any_temperature():
    assert SamplingParams(temperature=0.0).temperature == 0


def test_assumed_values_are_those_of_generate():
    params = sampling_params(GenerationConfig(), {})
    for name, value in GenerationConfig._get_default_generation_params().items():
        if value is not None and hasattr(params, name):
            assert getattr(params, name) == value, name
    assert params.min_p == 0


def test_a_default_length_is_that_of_the_pipelines_and_fits_the_model():
    pipeline = TextGenerationPipeline._default_generation_config
    assert sampling_params(GenerationConfig(), {}).max_new_tokens == pipeline.max_new_tokens
    assert sampling_params(GenerationConfig(), {}, prompt_length=30, room=98).max_new_tokens == 98
    assert sampling_params(GenerationConfig(), {"max_new_tokens": 99}, room=98).max_new_tokens == 99


@pytest.mark.parametrize("temperature", [1e-5, 1e-10, 1e-320])
def test_a_temperature_near_zero_is_greedy(temperature: float) -> None:
    params = sampling_params(GenerationConfig(), {"do_sample": True, "temperature": temperature})
    assert not params.do_sample
    assert sampling_params(GenerationConfig(), {"do_sample": True, "temperature": 2e-5}).do_sample


def test_a_signed_seed_is_taken() -> None:
    seeds = [sampling_params(GenerationConfig(), {"seed": seed}).seed for seed in (-(2**63), -1, 0, 2**64 - 1)]
    assert seeds == [2**63, 2**64 - 1, 0, 2**64 - 1]
    with pytest.raises(InvalidInput, match="seed must be between"):
        sampling_params(GenerationConfig(), {"seed": -(2**63) - 1})


def test_a_text_that_may_fill_the_context() -> None:
    def limit(room: int | None = 900, new: int | None = None, **config: int) -> int:
        given = {"max_new_tokens": new}
        return sampling_params(GenerationConfig(**config), given, room=room, fill_context=True).max_new_tokens

    assert limit() == 900
    assert limit(room=None) == UNBOUNDED
    assert limit(new=7) == 7
    assert limit(max_new_tokens=500) == 500, "the checkpoint's own limit"
    assert limit(max_length=20) == 900, "a default of `generate`, which counts the prompt"
    assert limit(room=0) == 1, "a prompt as long as the context is refused with both figures"


def test_the_checkpoint_gives_defaults_and_the_request_wins():
    config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        top_p=0.9,
        repetition_penalty=1.1,
        eos_token_id=[2, 3],
        bad_words_ids=[[7], [8, 9]],
        suppress_tokens=[1],
        begin_suppress_tokens=[4],
        forced_bos_token_id=5,
        forced_eos_token_id=2,
        max_new_tokens=50,
        min_new_tokens=3,
    )
    params = sampling_params(config, {"temperature": 0.2, "top_p": None, "seed": 9, "logprobs": True})
    assert params == SamplingParams(
        do_sample=True,
        temperature=0.2,
        top_k=50,
        top_p=0.9,
        repetition_penalty=1.1,
        seed=9,
        max_new_tokens=50,
        min_new_tokens=3,
        eos_token_ids=(2, 3),
        bad_words=((7,), (8, 9)),
        suppress_tokens=(1,),
        begin_suppress_tokens=(4,),
        forced_bos_token_id=5,
        forced_eos_token_id=(2,),
        logprobs=True,
    )


def test_lengths_of_the_checkpoint_count_the_prompt():
    config = GenerationConfig(max_length=142, min_length=56, eos_token_id=2)
    params = sampling_params(config, {}, prompt_length=2)
    assert (params.max_new_tokens, params.min_new_tokens) == (140, 54)
    with pytest.raises(InvalidInput, match="142 tokens, prompt included, and the prompt has 142"):
        sampling_params(config, {}, prompt_length=142)


def test_a_request_for_less_than_the_checkpoint_s_minimum_gets_it():
    config = GenerationConfig(min_length=56)
    assert sampling_params(config, {"max_new_tokens": 5}).min_new_tokens == 5
    with pytest.raises(InvalidInput, match="min_new_tokens"):
        sampling_params(config, {"max_new_tokens": 5, "min_new_tokens": 6})
    with pytest.raises(InvalidInput, match="max_new_tokens must be at least 1, not 0"):
        sampling_params(config, {"max_new_tokens": 0})


def test_what_is_not_served_is_named():
    assert unsupported_options(GenerationConfig()) == []
    assert unsupported_options(GenerationConfig(**GenerationConfig._get_default_generation_params())) == []
    config = GenerationConfig(num_beams=4, encoder_no_repeat_ngram_size=3, epsilon_cutoff=0.1)
    assert unsupported_options(config) == ["num_beams", "encoder_no_repeat_ngram_size", "epsilon_cutoff"]
