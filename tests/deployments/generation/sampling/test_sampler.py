"""The sampler as the engine uses it: rows that come and go, errors of single rows, and what `generate` says."""

import random

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import ForwardFailed, InvalidInput
from deployments.generation.sampling.params import SamplingParams, sampling_params
from deployments.generation.sampling.sampler import RowSpec, Sampler

VOCABULARY = 61
EOS = 3


class Toy:
    """A model without a network: the logits of a row's next token follow from its prompt and its tokens."""

    def logits(self, tokens):
        seed = hash(tuple(tokens[-3:])) % 2**31
        return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


class Loop:
    """The simplest engine: rows with their tokens, and the sampler in step with them."""

    def __init__(self, next_logits):
        self.next_logits = next_logits
        self.sampler = Sampler()
        self.rows = []  # (name, spec, tokens)

    def join(self, named):
        """Admit rows and choose their first tokens, as an engine does behind their prefill."""
        first = len(self.rows)
        self.sampler.admit([spec for _, spec in named])
        self.rows += [(name, spec, []) for name, spec in named]
        self._choose(first)

    def step(self):
        if self.rows:
            self._choose(0)

    def leave(self, indices):
        gone = [self.rows[index] for index in indices]
        kept = [index for index in range(len(self.rows)) if index not in indices]
        self.sampler.keep(kept)
        self.rows = [self.rows[index] for index in kept]
        return gone

    def finished(self):
        def is_done(row):
            _, spec, tokens = row
            return len(tokens) == spec.params.max_new_tokens or tokens[-1] in spec.params.eos_token_ids

        return [index for index, row in enumerate(self.rows) if is_done(row)]

    def _choose(self, first):
        rows = self.rows[first:]
        logits = torch.stack([self.next_logits([*spec.prompt, *tokens]) for _, spec, tokens in rows])
        step = self.sampler.step(logits, first)
        assert not step.errors
        for (_, _, tokens), token in zip(rows, step.tokens.tolist(), strict=True):
            tokens.append(token)


def alone(spec, next_logits):
    loop = Loop(next_logits)
    loop.join([("", spec)])
    while not loop.finished():
        loop.step()
    return loop.rows[0][2]


def together(specs, next_logits, rng):
    """All rows through one sampler, joining at random times, leaving when they are done, reordered now and then."""
    loop, waiting, answers = Loop(next_logits), list(enumerate(specs)), {}
    while waiting or loop.rows:
        if waiting and (not loop.rows or rng.random() < 0.4):
            count = rng.randint(1, 3)
            loop.join(waiting[:count])
            waiting = waiting[count:]
        else:
            loop.step()
        for name, _, tokens in loop.leave(loop.finished()):
            answers[name] = tokens
        if rng.random() < 0.2:
            order = rng.sample(range(len(loop.rows)), len(loop.rows))
            loop.sampler.keep(order)
            loop.rows = [loop.rows[index] for index in order]
    return [answers[name] for name in range(len(specs))]


@st.composite
def specs(draw):
    params = SamplingParams(
        do_sample=draw(st.booleans()),
        temperature=draw(st.sampled_from((0.5, 1.0, 1.5))),
        top_k=draw(st.sampled_from((0, 0, 3, 20))),
        top_p=draw(st.sampled_from((1.0, 0.5, 0.9))),
        typical_p=draw(st.sampled_from((1.0, 1.0, 0.8))),
        min_p=draw(st.sampled_from((0.0, 0.0, 0.05))),
        repetition_penalty=draw(st.sampled_from((1.0, 1.4))),
        frequency_penalty=draw(st.sampled_from((0.0, 0.7))),
        no_repeat_ngram_size=draw(st.sampled_from((0, 2, 3))),
        bad_words=draw(st.sampled_from(((), ((5,), (6, 7), (8, 9, 10))))),
        seed=draw(st.integers(0, 2**64 - 1)),
        max_new_tokens=draw(st.integers(3, 12)),
        min_new_tokens=draw(st.integers(0, 3)),
        eos_token_ids=(EOS, 4, 5, 6),
    )
    prompt = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12))
    return RowSpec(params, prompt)


@given(st.lists(specs(), min_size=1, max_size=8), st.integers(0, 2**16))
def test_a_row_gets_the_same_tokens_whatever_is_beside_it(rows, arrivals):
    toy = Toy()
    expected = [alone(spec, toy.logits) for spec in rows]
    assert together(rows, toy.logits, random.Random(arrivals)) == expected


def tiny(kind):
    """A GPT-2 or a BART with random weights drawn far apart, and without any options of its own."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": EOS, "pad_token_id": 1}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, **sizes)
        model = transformers.GPT2LMHeadModel(config)
    else:
        halves = {f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in _BART.items()}
        config = transformers.BartConfig(d_model=32, decoder_start_token_id=2, **halves, **sizes)
        model = transformers.BartForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=EOS, pad_token_id=1, decoder_start_token_id=2
    )
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.3)
    return model.eval()


_BART = {"layers": 2, "attention_heads": 2, "ffn_dim": 32}
GREEDY = [
    {},
    {"repetition_penalty": 1.6},
    {"no_repeat_ngram_size": 2},
    {"min_new_tokens": 12},
    {"bad_words_ids": [[token] for token in range(10, 30)] + [[31, 32], [40, 41, 42]] + [[40, i] for i in range(9)]},
    {"suppress_tokens": list(range(5, 40)), "begin_suppress_tokens": [50, 51, EOS]},
    {"forced_eos_token_id": EOS, "min_new_tokens": 19},
    {"forced_bos_token_id": 7, "forced_eos_token_id": [EOS, 9]},
    {
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 3,
        "min_new_tokens": 8,
        "bad_words_ids": [[12], [13, 14], [EOS]],
        "suppress_tokens": [20, 21],
        "begin_suppress_tokens": [22],
        "forced_bos_token_id": 23,
        "forced_eos_token_id": EOS,
    },
    {"min_length": 15, "max_length": 30},
]


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_greedy_tokens_are_those_of_generate(kind):
    model, rng = tiny(kind), random.Random(0)
    options = [entry for entry in GREEDY for _ in range(2)]
    prompts = [[rng.randrange(5, VOCABULARY) for _ in range(rng.choice((1, 4, 14)))] for _ in options]
    encoder = kind == "bart"
    rows, wanted = [], []
    for prompt, asked in zip(prompts, options, strict=True):
        asked = {"max_new_tokens": 20, "do_sample": False, **asked}
        if "max_length" in asked:
            del asked["max_new_tokens"]
        ids = torch.tensor([prompt])
        made = model.generate(ids, attention_mask=torch.ones_like(ids), **asked)[0].tolist()
        prefix = [2] if encoder else prompt
        wanted.append(made[len(prefix) :])
        config = transformers.GenerationConfig(**{"eos_token_id": EOS, **asked})
        rows.append(RowSpec(sampling_params(config, {}, prompt_length=len(prefix)), prefix))
    # The model has to know which encoder input a row has, so its place among the rows goes before its tokens.
    by_row = {id(row.prompt): prompt for row, prompt in zip(rows, prompts, strict=True)}

    def next_logits(tokens, prompt=None):
        with torch.inference_mode():
            ids = {"decoder_input_ids": torch.tensor([tokens])} if encoder else {}
            return model(input_ids=torch.tensor([prompt if encoder else tokens]), **ids).logits[0, -1]

    class WithPrompts(Loop):
        def _choose(self, first):
            chosen = self.rows[first:]
            logits = [next_logits([*s.prompt, *tokens], by_row[id(s.prompt)]) for _, s, tokens in chosen]
            step = self.sampler.step(torch.stack(logits), first)
            assert not step.errors
            for (_, _, tokens), token in zip(chosen, step.tokens.tolist(), strict=True):
                tokens.append(token)

    loop, waiting, answers = WithPrompts(None), list(enumerate(rows)), {}
    while waiting or loop.rows:
        if waiting and (not loop.rows or rng.random() < 0.4):
            loop.join(waiting[:2])
            waiting = waiting[2:]
        else:
            loop.step()
        answers |= {name: tokens for name, _, tokens in loop.leave(loop.finished())}
    assert [answers[name] for name in range(len(rows))] == wanted
    assert len({tuple(tokens) for tokens in wanted}) > len(wanted) / 2, "the options make a difference"


def test_rows_without_a_seed_get_one_that_gives_the_same_tokens_again():
    params = SamplingParams(do_sample=True)
    spec, greedy = RowSpec(params, [0]), RowSpec(SamplingParams(), [0])
    logits = torch.randn(5, 2, 1000)
    runs = []
    for _ in range(2):
        sampler = Sampler()
        seeds = sampler.admit([spec, greedy])
        assert seeds == [spec.seed, None]
        runs.append([sampler.step(step).tokens.tolist() for step in logits])
    assert runs[0] == runs[1]
    assert RowSpec(params, [0]).seed != spec.seed
    assert 0 <= spec.seed < 2**53


def test_log_probabilities_are_of_the_logits_as_they_came():
    options = {"do_sample": True, "temperature": 0.1, "top_k": 2, "seed": 4}
    asked = [{"logprobs": True}, {}, {"top_n_tokens": 3}, {"logprobs": True, "top_n_tokens": 1, **options}]
    logits = torch.randn(4, VOCABULARY)
    sampler = Sampler()
    sampler.admit([RowSpec(SamplingParams(**entry), [0]) for entry in asked])
    step = sampler.step(logits)
    logs = logits.log_softmax(-1)
    tokens = step.tokens.tolist()
    assert step.logprobs[0] == pytest.approx(float(logs[0, tokens[0]]))
    assert step.logprobs[1:3] == [None, None]
    assert step.logprobs[3] == pytest.approx(float(logs[3, tokens[3]]))
    assert [len(row) for row in step.top] == [0, 0, 3, 1]
    assert step.top[3][0].token == int(logits[3].argmax())
    values, ids = logs[2].topk(3)
    assert [entry.token for entry in step.top[2]] == ids.tolist()
    assert [entry.logprob for entry in step.top[2]] == pytest.approx(values.tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_with_in_float32(dtype):
    options = [{}, {"repetition_penalty": 1.3}, {"do_sample": True, "seed": 1, "temperature": 0.7, "top_p": 0.9}]
    rows = [RowSpec(SamplingParams(logprobs=True, **entry), [1, 2]) for entry in options]
    logits = torch.randn(3, VOCABULARY).to(dtype)
    steps = []
    for given_logits in (logits, logits.float()):
        sampler = Sampler()
        sampler.admit(rows)
        steps.append(sampler.step(given_logits))
    assert steps[0].tokens.tolist() == steps[1].tokens.tolist()
    assert steps[0].logprobs == steps[1].logprobs


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_fail_their_row_alone(poison):
    options = [{}, {"repetition_penalty": 1.3}, {"do_sample": True, "top_p": 0.9}, {"do_sample": True, "top_k": 5}]
    options += [{"do_sample": True}, {"do_sample": True, "typical_p": 0.5}, {"suppress_tokens": (1,), "logprobs": True}]
    params = [SamplingParams(seed=i, **entry) for i, entry in enumerate(options * 2)]
    sick = set(range(0, len(params), 2))
    logits = torch.randn(len(params), 300)
    ill = logits.clone()
    for row in sick:
        ill[row, :] = poison if poison == float("-inf") else ill[row, :]
        ill[row, 1] = poison
    healthy, both = Sampler(), Sampler()
    for sampler in (healthy, both):
        sampler.admit([RowSpec(row, [1, 2]) for row in params])
    well, found = healthy.step(logits), both.step(ill)
    assert set(found.errors) == sick
    assert all(isinstance(error, ForwardFailed) and "NaN" in error.message for error in found.errors.values())
    left = [row for row in range(len(params)) if row not in sick]
    assert found.tokens[left].tolist() == well.tokens[left].tolist()
    assert all(found.logprobs[row] is None for row in sick)
    for sampler in (healthy, both):
        sampler.keep(left)
    assert both.step(logits[left]).tokens.tolist() == healthy.step(logits[left]).tokens.tolist()


def test_tokens_that_the_model_forbids_never_come():
    logits = torch.full((3, 200), float("-inf"))
    logits[:, [4, 9]] = 1.0
    options = [{"do_sample": True}, {"do_sample": True, "top_k": 50}, {"do_sample": True, "top_p": 0.999}]
    sampler = Sampler()
    sampler.admit([RowSpec(SamplingParams(**entry), [0]) for entry in options])
    drawn = torch.stack([sampler.step(logits).tokens for _ in range(60)])
    assert all(set(column) == {4, 9} for column in drawn.T.tolist())


def test_options_that_forbid_everything_fail_their_row_alone():
    everything = tuple(range(VOCABULARY))
    params = [
        SamplingParams(suppress_tokens=everything),
        SamplingParams(),
        SamplingParams(do_sample=True, suppress_tokens=everything),
        SamplingParams(forced_bos_token_id=5, suppress_tokens=(5,)),
        SamplingParams(forced_bos_token_id=VOCABULARY + 7),
    ]
    sampler = Sampler()
    sampler.admit([RowSpec(row, [0]) for row in params])
    logits = torch.randn(5, VOCABULARY)
    step = sampler.step(logits)
    assert set(step.errors) == {0, 2, 3, 4}
    assert all(isinstance(error, InvalidInput) and "exclude" in error.message for error in step.errors.values())
    assert int(step.tokens[1]) == int(logits[1].argmax())


def test_errors_name_rows_of_the_sampler_when_only_the_last_have_logits():
    sampler = Sampler()
    sampler.admit([RowSpec(SamplingParams(), [0])] * 3)
    logits = torch.randn(2, VOCABULARY)
    logits[1, 0] = float("nan")
    assert list(sampler.step(logits, first=1).errors) == [2]


def test_a_row_s_own_processor_sees_its_tokens_and_runs_before_the_temperature():
    seen = []

    def processor(ids, scores):
        seen.append((ids.tolist(), tuple(scores.shape)))
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([ids.shape[1]]), 0.0)

    sampler = Sampler()
    sampler.admit([RowSpec(SamplingParams(), [9]), RowSpec(SamplingParams(do_sample=True), [7, 8], processor)])
    chosen = [sampler.step(torch.randn(2, VOCABULARY)).tokens.tolist()[1] for _ in range(2)]
    assert chosen == [2, 3]
    assert seen == [([[7, 8]], (1, VOCABULARY)), ([[7, 8, 2]], (1, VOCABULARY))]


def test_the_logits_are_not_changed():
    rng_logits = torch.randn(2, VOCABULARY)
    before = rng_logits.clone()
    sampler = Sampler()
    params = SamplingParams(do_sample=True, temperature=0.5, repetition_penalty=2.0, suppress_tokens=(1,))
    sampler.admit([RowSpec(params, [1, 2])] * 2)
    sampler.step(rng_logits)
    assert torch.equal(rng_logits, before)


def test_a_row_cannot_be_kept_twice():
    sampler = Sampler()
    sampler.admit([RowSpec(SamplingParams(), [0])] * 2)
    with pytest.raises(ValueError, match="occurs twice"):
        sampler.keep([0, 0])
    sampler.keep([])
    assert len(sampler) == 0
