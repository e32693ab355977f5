"""Which passes are kept, repeated and dropped, as in openai/whisper's `transcribe`."""

import zlib

import pytest
import torch

from deployments.audio.whisper.figures import Figures, FiguresRecorder, compression_ratio
from deployments.audio.whisper.parameters import TranscriptParameters
from deployments.audio.whisper.safeguards import TEMPERATURES, Safeguards
from deployments.errors import InvalidInput


def figures(logprob=-0.3, ratio=1.2, silence=0.1):
    return Figures(0.0, logprob, ratio, silence)


@pytest.mark.parametrize(
    ("given", "is_rejected", "is_silence"),
    [
        (figures(), False, False),
        (figures(ratio=2.5), True, False),
        (figures(logprob=-1.1), True, False),
        (figures(logprob=-1.1, silence=0.7), False, True),
        (figures(silence=0.7), False, False),  # likely words are kept although the model hears silence
        (figures(logprob=-1.1, silence=None), True, False),
    ],
)
def test_a_pass_is_judged_as_in_openai_whisper(given, is_rejected, is_silence):
    assert Safeguards().rejects(given) is is_rejected
    assert Safeguards().is_silence(given) is is_silence


def test_a_condition_can_be_turned_off():
    assert not Safeguards(compression_ratio=None).rejects(figures(ratio=9))
    assert not Safeguards(logprob=None).rejects(figures(logprob=-9))
    assert not Safeguards(no_speech=None).is_silence(figures(logprob=-9, silence=1))
    assert Safeguards(logprob=None).is_silence(figures(silence=0.7))


def test_of_rejected_attempts_the_likeliest_that_does_not_repeat_itself_is_kept():
    attempts = [figures(-0.2, 3.0), figures(-1.5, 1.0), figures(-1.2, 2.0)]
    assert Safeguards().best(attempts) == 2
    assert Safeguards().best(attempts[:1] + [figures(-0.1, 4.0)]) == 1


def test_the_compression_ratio_is_zlibs():
    text = "la la la " * 30
    assert compression_ratio(text) == len(text) / len(zlib.compress(text.encode())) > 10
    assert compression_ratio("") == 0


def test_figures_are_made_of_the_scores_that_the_rules_leave():
    """Two prompt tokens, of which the second is generated, and a text of two tokens and an end."""
    scores = torch.randn(4, 1, 9, generator=torch.Generator().manual_seed(1))
    allowed = torch.ones(9, dtype=torch.bool)
    allowed[7] = False
    recorder = FiguresRecorder(1, 1, no_speech=8)
    processor = recorder.around(lambda ids, each: each.masked_fill(~allowed, float("-inf")))
    tokens = [5, 2, 3, 0]
    for position, each in enumerate(scores):
        processor(torch.tensor([[4, *tokens[:position]]]), each)
    got = recorder.figures(tokens, "some text", 0.4)
    logs = [scores[i, 0, allowed].log_softmax(-1)[tokens[i]] for i in (1, 2, 3)]  # token ids below 7
    assert got.avg_logprob == pytest.approx(float(sum(logs) / 3), abs=1e-5)
    assert got.no_speech_prob == pytest.approx(float(scores[0, 0].softmax(-1)[8]), abs=1e-6)
    assert (got.temperature, got.compression_ratio) == (0.4, compression_ratio("some text"))


def test_a_row_that_begins_again_has_the_same_figures():
    recorder = FiguresRecorder(1, 0, None)
    processor = recorder.around(lambda ids, scores: scores)
    scores = torch.arange(6.0)[None]
    processor(torch.tensor([[4]]), scores)
    processor(torch.tensor([[4, 5]]), scores)
    for tokens in ([4], [4, 5], [4, 5, 1]):
        processor(torch.tensor([tokens]), scores)
    logs = scores[0].log_softmax(-1)
    expected = float((logs[5] + logs[1] + logs[0]) / 3)
    assert recorder.figures([5, 1, 0], "", 0.0).avg_logprob == pytest.approx(expected, abs=1e-5)


def options(**given):
    return TranscriptParameters.model_validate(given)


def test_long_recordings_have_safeguards_and_short_ones_where_they_are_set():
    assert options().safeguards(is_long=False) is None
    assert options().safeguards(is_long=True) == Safeguards()
    assert options(no_speech_threshold=0.5).safeguards(is_long=False) == Safeguards(no_speech=0.5)
    assert options(logprob_threshold=None).safeguards(is_long=True) == Safeguards(logprob=None)
    assert options(temperature=[0, 0.5]).safeguards(is_long=False).temperatures == (0, 0.5)
    assert options(temperature=0.3).safeguards(is_long=True).temperatures == (0.3,)
    assert options(num_beams=2).safeguards(is_long=True) is None


def test_attempts_are_greedy_first_and_then_sampled_with_fixed_seeds():
    greedy, sampled = (options().attempt(TEMPERATURES[number], number) for number in (0, 2))
    assert (greedy.do_sample, greedy.temperature, greedy.seed) == (False, None, None)
    assert (sampled.do_sample, sampled.temperature, sampled.seed, sampled.top_k) == (True, 0.4, 2, 0)
    assert options(seed=7).attempt(0.2, 1).seed == 8
    own = options(temperature=0.3, top_p=0.9)
    assert own.attempt(0.3, 0) is own


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": [0, -0.1]}, "-0.1 is not between 0 and 1e"),
        ({"temperature": [0, 2e9]}, "not between"),
        ({"temperature": [0, 0.2], "num_beams": 2}, "num_beams"),
    ],
)
def test_temperatures_that_cannot_be_are_refused(given, message):
    with pytest.raises(InvalidInput, match=message):
        options(**given).safeguards(is_long=False)
