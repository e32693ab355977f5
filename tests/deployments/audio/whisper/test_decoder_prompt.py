"""Openings against what `generate` of transformers' Whisper makes its decoder begin with."""

import copy
from itertools import product

import pytest
import torch
import transformers

from deployments.audio.whisper.decoder_prompt import DecoderPrompt, DecoderPrompts, PromptedDecoding
from deployments.errors import InvalidInput
from deployments.generation.sampling.params import sampling_params
from tests.generation_models import generating_model

SILENT, TRANSLATE, TRANSCRIBE = 40, 30, 31
LANGUAGES = {"<|en|>": 20, "<|de|>": 21, "<|fr|>": 22}
MANY = {
    "lang_to_id": LANGUAGES,
    "task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE},
    "is_multilingual": True,
    "no_timestamps_token_id": SILENT,
}
ONE = {"is_multilingual": False, "no_timestamps_token_id": SILENT}
CHECKPOINTS = {
    "one": ONE,
    "one-old": ONE | {"forced_decoder_ids": [[1, SILENT]]},
    "many": MANY,
    "many-old": MANY | {"forced_decoder_ids": [[1, None], [2, TRANSCRIBE]]},
    "many-german": MANY | {"forced_decoder_ids": [[1, 21], [2, TRANSLATE], [3, SILENT]]},
    "many-settled": MANY | {"language": "german", "task": "translate"},
    "without-times": {"is_multilingual": False},
}


def defaults_of(name):
    defaults = copy.deepcopy(generating_model("whisper").generation_config)
    for key, value in ({"decoder_start_token_id": 3} | CHECKPOINTS[name]).items():
        setattr(defaults, key, value)
    return defaults


def theirs(defaults, language, task, times):
    model = generating_model("whisper")
    defaults = copy.deepcopy(defaults)
    defaults.return_timestamps = times
    model._set_language_and_task(language, task, None, defaults)
    features = torch.randn(1, 8, 100, generator=torch.Generator().manual_seed(1))
    return model._retrieve_init_tokens(features, 1, defaults, model.config, 100, {})[0].tolist()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_wish_begins_as_in_transformers(name):
    defaults = defaults_of(name)
    openings = DecoderPrompts(defaults, generating_model("whisper").config)
    options = product((None, "de", "German", "<|fr|>"), (None, "translate", "transcribe"), (False, True))
    for language, task, times in options:
        if (times and name == "without-times") or ((language or task) and not name.startswith("many")):
            continue
        ours, expected = openings.decoder_prompt(language, task, times=times), theirs(defaults, language, task, times)
        if ours.languages:
            assert ours.languages == tuple(LANGUAGES.values())
            ours = ours.with_language(expected[1])
        assert list(ours.before) == expected


def test_detection_is_among_languages_and_then_the_rest_follows():
    decoder_prompt = DecoderPrompt((3,), (20, 21, 22), (TRANSCRIBE, SILENT))
    detecting = PromptedDecoding(decoder_prompt, [7], [8], lambda ids, scores: scores + 1)
    scores = torch.zeros(1, 50)
    scores[0, [7, 8, 21]] = torch.tensor([9.0, 8.0, 2.0])
    said = [3]
    for expected in (21, TRANSCRIBE, SILENT):
        said.append(int(detecting(torch.tensor([said]), scores).argmax()))
        assert said[-1] == expected
    first = detecting(torch.tensor([said]), scores)
    assert first[0, [7, 8, 21]].tolist() == [float("-inf"), float("-inf"), 3.0]
    later = detecting(torch.tensor([[*said, 5]]), scores)
    assert later[0, [7, 8, 21]].tolist() == [float("-inf"), 9.0, 3.0]
    assert scores[0, 7] == 9  # not changed


@pytest.mark.parametrize(
    ("name", "language", "task", "message"),
    [
        ("one", "german", None, "does not support a choice of language"),
        ("one", None, "transcribe", "does not support a choice of task"),
        ("many", "klingon", None, r"does not know the language 'klingon'; it knows de, en, fr"),
        ("many", "spanish", None, "does not know the language 'spanish'"),
    ],
)
def test_what_the_model_does_not_know_is_refused(name, language, task, message):
    openings = DecoderPrompts(defaults_of(name), transformers.WhisperConfig())
    with pytest.raises(InvalidInput, match=message):
        openings.decoder_prompt(language, task, times=False)


def test_a_row_that_detects_has_room_for_what_it_is_made_to_say():
    from deployments.generation.request import GenerationRequest
    from deployments.generation.sequence import Prompt

    decoder_prompt = DecoderPrompt((3,), (20, 21), (TRANSCRIBE,))
    params = sampling_params(defaults_of("many"), {"max_new_tokens": 5, "min_new_tokens": 2}, prompt_length=3)
    ask = decoder_prompt.apply(
        GenerationRequest(Prompt(decoder_prompt.placeholder_ids()), params), Prompt(decoder_prompt.before)
    )
    assert (
        ask.params.max_new_tokens,
        ask.params.min_new_tokens,
        decoder_prompt.length,
        decoder_prompt.generated,
    ) == (7, 4, 3, 2)


@pytest.mark.parametrize("language", ["de", "DE", "German", " german ", "de-AT", "de_DE", "<|de|>"])
def test_a_language_has_many_spellings(language):
    prompts = DecoderPrompts(defaults_of("many"), transformers.WhisperConfig())
    assert prompts.decoder_prompt(language, None, times=True).before == (3, 21, TRANSCRIBE)


@pytest.mark.parametrize("language", ["en", "English", "en-GB", "EN_us"])
def test_a_model_of_english_alone_takes_english(language):
    prompts = DecoderPrompts(defaults_of("one"), transformers.WhisperConfig())
    expected = prompts.decoder_prompt(None, None, times=False)
    assert prompts.decoder_prompt(language, None, times=False) == expected
    assert prompts.language_of(None) == "english"


def test_a_prompt_from_its_start_forces_all_but_the_first_token():
    whole = DecoderPrompt((3, 21, TRANSCRIBE), previous=(9, 7))
    prompt = whole.from_start()
    assert (prompt.prompt_ids, prompt.after, prompt.generated) == ((9, 7, 3), (21, TRANSCRIBE), 2)
    assert prompt.length == whole.length
    forcing = PromptedDecoding(prompt, [], [], None)
    said = [9, 7, 3]
    for _ in range(2):
        said.append(int(forcing(torch.tensor([said]), torch.zeros(1, 50)).argmax()))
    assert said == list(whole.placeholder_ids())
