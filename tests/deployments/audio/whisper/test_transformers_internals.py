"""Every private name of transformers that the speech tasks use is still there."""

from importlib.metadata import version
from types import SimpleNamespace

import pytest
import transformers
from transformers.models.whisper import tokenization_whisper

from deployments.audio.whisper import transformers_internals as internals
from tests.generation_models import generating_model
from tests.speech_checkpoints import whisper_tokenizer


def test_the_names_were_read_in_the_installed_release():
    assert version("transformers").startswith(internals.READ_IN + ".")


def test_language_codes():
    assert internals.language_codes()["english"] == "en"


def test_language_names():
    assert internals.language_names()["en"] == "english"


def test_whispers_tokenizer_merges_windows_and_collates_words(tmp_path):
    tokenizer = whisper_tokenizer(tmp_path, ())
    assert callable(tokenization_whisper._collate_word_timestamps)
    assert internals.merges_windows(tokenizer)
    assert not internals.merges_windows(object())
    tokens = tokenizer(" ab cd", add_special_tokens=False)["input_ids"]
    spans = [(float(place), place + 1.0) for place in range(len(tokens))]
    words = internals.collate_words(tokenizer, tokens, spans)
    assert [word["text"] for word in words] == [" ab", " cd"]


def test_whisper_extracts_token_timestamps_from_eager_attention():
    model = generating_model("whisper")
    assert callable(model._extract_token_timestamps)
    before = model.config._attn_implementation
    with internals.eager_attention(model):
        assert model.config._attn_implementation == "eager"
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    ("model", "name"),
    [("Wav2Vec2Model", internals.FRAME_COUNTERS[0]), ("ParakeetEncoder", internals.FRAME_COUNTERS[1])],
)
def test_encoders_count_their_frames(model, name):
    assert callable(getattr(getattr(transformers, model), name))


def test_wav2vec2s_tokenizer_gives_word_offsets():
    kind = transformers.Wav2Vec2CTCTokenizer
    assert internals.has_word_offsets(kind)
    assert not internals.has_word_offsets(object())
    tokenizer = SimpleNamespace(_get_word_offsets=kind._get_word_offsets, replace_word_delimiter_char=" ")
    offsets = [{"char": "a", "start_offset": 0, "end_offset": 1}, {"char": " ", "start_offset": 1, "end_offset": 2}]
    assert internals.word_offsets(tokenizer, offsets) == [{"word": "a", "start_offset": 0, "end_offset": 1}]
