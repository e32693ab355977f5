"""Each option, and all together, against transformers' own processors, row by row."""

import random

import pytest
import torch
from transformers.generation import logits_process as theirs

from deployments.generation.sampling.filters import Filters, cuts
from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.processor import User
from deployments.generation.sampling.processors import processors_for
from deployments.generation.sampling.row import RowState

VOCABULARY = 37  # small, so that tokens, n-grams and bad words do come again


OPTIONS = (
    "repetition_penalty no_repeat_ngram_size bad_words min_new_tokens forced_bos_token_id forced_eos_token_id"
    " suppress_tokens begin_suppress_tokens temperature top_k top_p min_p typical_p"
).split()


def random_options(rng, *names):
    """Options of the names given, or of a random choice of all."""
    some = {
        "repetition_penalty": rng.choice((0.7, 1.3, 2.0)),
        "no_repeat_ngram_size": rng.choice((1, 2, 3, 5)),
        "bad_words": tuple(tuple(rng.choices(range(VOCABULARY), k=rng.choice((1, 1, 2, 2, 3)))) for _ in range(40)),
        "min_new_tokens": rng.choice((1, 3, 20)),
        "forced_bos_token_id": rng.randrange(VOCABULARY),
        "forced_eos_token_id": rng.choice(((3,), (3, 4))),
        "suppress_tokens": tuple(rng.sample(range(VOCABULARY), 4)),
        "begin_suppress_tokens": tuple(rng.sample(range(VOCABULARY), 4)),
        "temperature": rng.choice((0.3, 0.9, 1.7)),
        "top_k": rng.choice((1, 5, 20, 500)),
        "top_p": rng.choice((0.1, 0.5, 0.95)),
        "min_p": rng.choice((0.01, 0.1, 1.0)),
        "typical_p": rng.choice((0.2, 0.9)),
    }
    assert list(some) == OPTIONS
    chosen = names or [name for name in some if rng.random() < 0.5]
    return {"do_sample": True, "eos_token_ids": (3, 4), **{name: some[name] for name in chosen}}


def reference(params, prompt, generated, logits):
    """Scores of one row, by transformers' processors in the order of `GenerationMixin._get_logits_processor`."""
    made = theirs.LogitsProcessorList()
    length, eos = len(prompt), list(params.eos_token_ids)
    if params.repetition_penalty != 1:
        made.append(theirs.RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    if params.no_repeat_ngram_size:
        made.append(theirs.NoRepeatNGramLogitsProcessor(params.no_repeat_ngram_size))
    if params.bad_words:
        made.append(theirs.NoBadWordsLogitsProcessor([list(word) for word in params.bad_words], eos))
    if params.min_new_tokens:
        made.append(theirs.MinNewTokensLengthLogitsProcessor(length, params.min_new_tokens, eos))
    if params.forced_bos_token_id is not None:
        made.append(theirs.ForcedBOSTokenLogitsProcessor(params.forced_bos_token_id))
    if params.forced_eos_token_id:
        ends = list(params.forced_eos_token_id)
        made.append(theirs.ForcedEOSTokenLogitsProcessor(length + params.max_new_tokens, ends))
    if params.suppress_tokens:
        made.append(theirs.SuppressTokensLogitsProcessor(params.suppress_tokens))
    if params.begin_suppress_tokens:
        begin = length if length > 1 or params.forced_bos_token_id is None else length + 1
        made.append(theirs.SuppressTokensAtBeginLogitsProcessor(params.begin_suppress_tokens, begin))
    if params.temperature != 1:
        made.append(theirs.TemperatureLogitsWarper(params.temperature))
    if params.top_k:
        made.append(theirs.TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        made.append(theirs.TopPLogitsWarper(params.top_p))
    if params.min_p:
        made.append(theirs.MinPLogitsWarper(params.min_p))
    if params.typical_p < 1:
        made.append(theirs.TypicalLogitsWarper(params.typical_p))
    return made(torch.tensor([[*prompt, *generated]]), logits[None].clone())[0]


def ours(rows, logits):
    """Scores of all rows, given as (params, prompt, generated), processed and filtered together."""
    history = TokenHistory("cpu")
    history.admit([[*prompt, *generated] for _, prompt, generated in rows])
    states = [RowState(params, 0, len(prompt), None, len(generated)) for params, prompt, generated in rows]
    users = [User(i, i, state) for i, state in enumerate(states)]
    scores = torch.nn.functional.pad(logits, (0, 1), value=float("-inf"))
    for processor in processors_for(users, history, logits.shape[1]):
        processor(scores)
    assert (scores[:, -1] == float("-inf")).all(), "the spare column stays what it is"
    params = [row[0] for row in rows]
    filters = Filters.of(params, "cpu")
    values, ids = scores.sort(-1, descending=True)
    kept = torch.ones_like(values, dtype=torch.bool)
    if any(cuts(row) for row in params):
        kept = filters.leading(values, (values - values[:, :1]).exp().sum(-1, keepdim=True))
    kept = filters.typical(values, kept)
    allowed = torch.zeros_like(kept).scatter(1, ids, kept)
    return scores.masked_fill(~allowed, float("-inf"))[:, :-1]


def random_rows(rng, *names, count=24):
    rows = []
    for _ in range(count):
        params = SamplingParams(**random_options(rng, *names), max_new_tokens=20)
        prompt = rng.choices(range(VOCABULARY), k=rng.choice((1, 1, 2, 9, 40)))
        generated = rng.choices(range(VOCABULARY), k=rng.choice((0, 0, 1, 2, 7, 19)))
        rows.append((params, prompt, generated))
    return rows


def assert_equal(rows, logits):
    found = ours(rows, logits)
    for row, got, raw in zip(rows, found, logits, strict=True):
        wanted = reference(*row, raw)
        if wanted.isfinite().any():  # a row in which everything is forbidden is an error of its own
            assert got.isfinite().tolist() == wanted.isfinite().tolist(), row
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_that_of_transformers(name):
    rng = random.Random(name)
    rows = random_rows(rng, name, count=40)
    assert_equal(rows, torch.randn(len(rows), VOCABULARY, generator=torch.Generator().manual_seed(1)) * 4)


@pytest.mark.parametrize("seed", range(40))
def test_options_together_are_those_of_transformers(seed):
    rng = random.Random(seed)
    rows = random_rows(rng)
    assert_equal(rows, torch.randn(len(rows), VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 4)


def test_tokens_of_the_past_that_have_no_logit_are_no_trouble():
    params = SamplingParams(repetition_penalty=1.5, no_repeat_ngram_size=2, frequency_penalty=1.0)
    rows = [(params, [VOCABULARY + 5, 1, VOCABULARY, 1], [2, VOCABULARY + 5])]
    logits = torch.randn(1, VOCABULARY)
    got = ours(rows, logits)
    wanted = theirs.RepetitionPenaltyLogitsProcessor(1.5)(torch.tensor([[*rows[0][1], *rows[0][2]]]), logits)
    wanted[0, 2] -= 1
    wanted[0, 1] = float("-inf")  # came behind the last token before
    torch.testing.assert_close(got, wanted)


def test_frequency_and_presence_count_what_was_generated_and_not_the_prompt():
    rows = [
        (SamplingParams(frequency_penalty=0.5), [1, 1, 2], [3, 4, 3, 3]),
        (SamplingParams(presence_penalty=-1.5), [1, 2, 3, 4, 5], [1, 1, 6]),
        (SamplingParams(frequency_penalty=0.25, presence_penalty=1.0), [9], [9, 9]),
        (SamplingParams(frequency_penalty=1.0, presence_penalty=1.0), [5], []),
    ]
    logits = torch.randn(4, VOCABULARY)
    wanted = logits.clone()
    wanted[0, 3] -= 1.5
    wanted[0, 4] -= 0.5
    wanted[1, [1, 6]] += 1.5
    wanted[2, 9] -= 1.5
    torch.testing.assert_close(ours(rows, logits), wanted)
