"""speech-recognition-seq2seq against transformers: its pipeline for Whisper, `generate` for the others."""

from functools import cache

import numpy as np
import pytest
import torch

from deployments.errors import InvalidInput, LoadError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.registry import task_of
from deployments.tasks.speech_recognition_seq2seq import SpeechRecognition
from tests.media_requests import RATE, recording, wav
from tests.serving import answer, answers, events, replica_of
from tests.speech_checkpoints import LANGUAGES, OTHERS, WHISPER, load_speech, speech_checkpoint

# Of a spread over no or one token, which transformers works out for the times of words.
pytestmark = pytest.mark.filterwarnings("ignore:std")

SECONDS = (3.0, 0.4, 28.9, 30.0, 5.0, 5.0, 17.3)  # as short as may be, nearly and exactly a window, two alike
TIMES = (None, True, "word")
NEW = 24  # tokens of a pass


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    return cache(lambda family: speech_checkpoint(tmp_path_factory.mktemp(family), family))


@pytest.fixture(scope="module")
def replicas(folder_of):
    made = {}

    def get(family, **config):
        key = (family, repr(config))
        if key not in made:
            torch.set_num_threads(1)
            audio = {"long_form": "overlap"} | config.pop("audio", {})  # the pipeline's; nobody speaks in these
            made[key] = replica_of(folder_of(family), audio=audio, **config)
        return made[key]

    yield get
    for replica in made.values():
        replica.stop()


@pytest.fixture(scope="module")
def pipeline_of(folder_of):
    from transformers import pipeline

    return cache(
        lambda family: pipeline(
            "automatic-speech-recognition", model=str(folder_of(family)), device="cpu", dtype="float32"
        )
    )


@pytest.fixture(scope="module")
def heard(pipeline_of):
    """`heard(family, times)`: what the pipeline says to each of the recordings, worked out once."""
    return cache(lambda family, times: [of_pipeline(pipeline_of(family), each, times) for each in recordings()])


@cache
def minutes():
    """A first window, one between, and a last."""
    return recording(70 * RATE, 3)


@cache
def recordings():
    return [recording(int(seconds * RATE), seed) for seed, seconds in enumerate(SECONDS)]


def as_lists(answer):
    chunks = answer.get("chunks")
    return answer["text"], chunks and [(chunk["text"], *chunk["timestamp"]) for chunk in chunks]


def options(times=None, **parameters):
    return {"max_new_tokens": NEW, **parameters} | ({} if times is None else {"return_timestamps": times})


def of_pipeline(pipeline, samples, times=None, *, stride=None, chunk=30, **options):
    more = {} if times is None else {"return_timestamps": times}
    options = {"num_beams": 1, "max_new_tokens": NEW, **options}
    return as_lists(
        pipeline(samples.copy(), chunk_length_s=chunk, stride_length_s=stride, generate_kwargs=options, **more)
    )


def generated(replica, samples):
    """What the model's `generate` says to a recording alone."""
    task = replica.task
    features = task.extractor(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
    model = task.checkpoint.model
    with torch.inference_mode():
        said = model.generate(**features, num_beams=1, do_sample=False, max_new_tokens=NEW)
    return task.tokenizer.decode(said[0], skip_special_tokens=True)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("family", WHISPER)
def test_recordings_under_way_together_are_answered_as_by_the_pipeline(replicas, heard, family, times):
    requests = [{"inputs": wav(samples), "parameters": options(times)} for samples in recordings()]
    got = [as_lists(each) for each in answers(replicas(family), requests)]
    assert got == heard(family, times)
    assert len({text for text, _ in got}) > len(got) / 2  # no dull model


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_say_what_generate_says(replicas, family):
    replica = replicas(family)
    expected = [generated(replica, samples) for samples in recordings()]
    requests = [{"inputs": wav(samples), "parameters": options()} for samples in recordings()]
    assert [each["text"] for each in answers(replica, requests)] == expected
    for request, text in zip(requests[:3], expected, strict=False):
        assert answer(replica, **request) == {"text": text}


@pytest.mark.parametrize("family", [*WHISPER, *OTHERS])
def test_every_family_runs_in_flight(replicas, folder_of, family):
    replica = replicas(family)
    assert replica.task_class is SpeechRecognition is task_of(replica.config)
    assert replica.description["generation"]["mode"] == "in-flight"


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("family", WHISPER)
def test_minutes_are_answered_as_by_the_pipeline(replicas, pipeline_of, family, times):
    got = answer(replicas(family), inputs=wav(minutes()), parameters=options(times))
    assert as_lists(got) == of_pipeline(pipeline_of(family), minutes(), times)
    assert len(got["text"]) > 10


@pytest.mark.parametrize(("chunk", "stride"), [(12, [4, 2]), (20, 0), (7.5, None)], ids=str)
def test_windows_are_cut_as_configured(replicas, pipeline_of, chunk, stride):
    audio = {"chunk_length_s": chunk, "stride_length_s": tuple(stride) if isinstance(stride, list) else stride}
    samples = minutes()[: 21 * RATE + 77]
    for times in (None, True):
        got = answer(replicas("whisper-many", audio=audio), inputs=wav(samples), parameters=options(times))
        expected = of_pipeline(pipeline_of("whisper-many"), samples, times, chunk=chunk, stride=stride)
        assert as_lists(got) == expected


def test_languages_and_tasks_of_all_callers_run_together(replicas, pipeline_of):
    samples = recording(9 * RATE, 5)
    said = [{"language": code} for code in LANGUAGES] + [{}, {"task": "translate"}, {"task": "transcribe"}]
    said.append({"language": "german", "task": "translate"})
    requests = [{"inputs": wav(samples), "parameters": options(True, **each)} for each in said]
    got = [as_lists(each) for each in answers(replicas("whisper-many"), requests)]
    assert got == [of_pipeline(pipeline_of("whisper-many"), samples, True, **each) for each in said]
    assert len({text for text, _ in got}) > 3


@pytest.mark.parametrize("family", WHISPER)
def test_static_batches_say_the_same(replicas, heard, family):
    replica = replicas(family, generation={"engine": "static"})
    assert replica.description["generation"]["mode"] == "static"
    for times in TIMES:
        requests = [{"inputs": wav(samples), "parameters": options(times)} for samples in recordings()[:2]]
        got = [as_lists(each) for each in answers(replica, requests)]
        assert got == heard(family, times)[:2]


def test_beams_are_searched_as_by_the_pipeline(replicas, pipeline_of):
    for samples in recordings()[:2]:
        got = answer(replicas("whisper-english"), inputs=wav(samples), parameters=options(num_beams=3))
        assert as_lists(got) == of_pipeline(pipeline_of("whisper-english"), samples, num_beams=3)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("family", WHISPER)
def test_a_stream_tells_the_text_that_is_answered(replicas, family, times):
    replica = replicas(family)
    for samples in (*recordings()[:2], minutes()):
        prepare = answer(replica, inputs=wav(samples), parameters=options(times))
        told = events(replica, inputs=wav(samples), parameters=options(times))
        assert "".join(event["token"]["text"] for event in told) == told[-1]["generated_text"] == prepare["text"]
        assert as_lists(told[-1] | {"text": prepare["text"]}) == as_lists(prepare)
        assert told[-1]["details"]["generated_tokens"] == len(told)
        assert [event["index"] for event in told] == list(range(1, len(told) + 1))
        assert not any(event["token"]["text"] for event in told if event["token"]["special"] and event is not told[-1])


def test_of_a_short_recording_words_are_told_as_they_come(replicas):
    told = events(replicas("whisper-english"), inputs=wav(recordings()[2]), parameters=options())
    assert sum(bool(event["token"]["text"]) for event in told[:-1]) > 2


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_tell_theirs_too(replicas, family):
    replica, samples = replicas(family), recordings()[0]
    told = events(replica, inputs=wav(samples), parameters=options())
    assert "".join(event["token"]["text"] for event in told) == told[-1]["generated_text"]
    assert told[-1]["generated_text"] == answer(replica, inputs=wav(samples), parameters=options())["text"]


def test_details_have_all_tokens_with_the_language_that_was_heard(replicas):
    replica = replicas("whisper-many")
    got = answer(replica, inputs=wav(minutes()), parameters=options(True, details=True))["details"]
    assert got["generated_tokens"] == len(got["tokens"])
    assert got["tokens"][0]["text"] in {f"<|{language}|>" for language in LANGUAGES}
    assert got["timings"]["total_s"] >= got["timings"]["first_token_s"] > 0
    assert all(token["logprob"] <= 0 for token in got["tokens"])


@pytest.mark.parametrize("family", ["whisper-many", "moonshine"])
def test_a_list_of_recordings_is_answered_with_a_list(replicas, family):
    some = recordings()[:3]
    got = answer(replicas(family), inputs=[wav(samples) for samples in some], parameters=options())
    assert got == [answer(replicas(family), inputs=wav(samples), parameters=options()) for samples in some]


@pytest.mark.parametrize("family", ["whisper-english", "speech-to-text"])
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"no recording at all", UnsupportedMedia, "inputs is"),
        (wav(recording(RATE)).data[:-9000], InvalidInput, "truncated"),
        (wav(np.zeros(0, np.float32)).data, InvalidInput, "has no audio"),
        (b"", InvalidInput, "inputs is empty"),
    ],
)
def test_what_is_no_recording_is_refused(replicas, family, data, error, message):
    with pytest.raises(error, match=message):
        answer(replicas(family), inputs=Media(data), parameters=options())


def test_longer_than_the_model_reads_in_one_piece_is_refused(folder_of):
    request = SpeechRecognition.request.model_validate({"inputs": wav(recording(41 * RATE))})
    for family in OTHERS:
        task = load_speech(folder_of(family), SpeechRecognition, audio={"max_seconds": 40})
        with pytest.raises(
            TooLarge, match=r"a recording of 41\.0 s; this model reads at most 40 s \(audio\.max_seconds\)"
        ):
            task.preprocess(request)
    task = load_speech(folder_of("whisper-english"), SpeechRecognition, audio={"chunk_length_s": 0})
    with pytest.raises(TooLarge, match=r"this model reads at most 30 s, .*audio\.chunk_length_s is 0"):
        task.preprocess(request)


def test_too_short_for_a_frame_is_refused(replicas):
    with pytest.raises(InvalidInput, match=r"the model needs at least"):
        answer(replicas("wav2vec2-gpt2"), inputs=wav(recording(300)))
    assert answer(replicas("whisper-english"), inputs=wav(recording(1)), parameters=options())


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("whisper-english", {"language": "de"}, "does not support a choice of language"),
        ("whisper-many", {"language": "finnish"}, "it knows de, en, es, zh"),
        ("whisper-many", {"num_return_sequences": 2, "do_sample": True}, "a recording has a single text"),
        ("whisper-many", {"best_of": 2, "do_sample": True}, "a recording has a single text"),
        ("whisper-many", {"stop": ["a"]}, "parameters.stop"),
        ("whisper-many", {"max_new_tokens": 96}, "maximum context length"),
        ("moonshine", {"language": "en"}, "parameters.language"),
        ("moonshine", {"return_timestamps": "word"}, "parameters.return_timestamps"),
        ("speech-to-text", {"task": "translate"}, "parameters.task"),
    ],
)
def test_what_the_model_cannot_do_is_refused(replicas, family, parameters, message):
    with pytest.raises(InvalidInput, match=message):
        answer(replicas(family), inputs=wav(recording(RATE)), parameters=parameters)


def test_times_need_what_the_checkpoint_says_of_them(tmp_path):
    folder = speech_checkpoint(tmp_path / "words", "whisper-english", alignment_heads=None)
    task = load_speech(folder, SpeechRecognition)
    request = {"inputs": wav(recording(RATE)), "parameters": {"return_timestamps": "word"}}
    with pytest.raises(InvalidInput, match="needs alignment_heads"):
        task.preprocess(task.request.model_validate(request))
    folder = speech_checkpoint(tmp_path / "times", "whisper-english", no_timestamps_token_id=None)
    task = load_speech(folder, SpeechRecognition)
    with pytest.raises(InvalidInput, match="gives no timestamps"):
        task.preprocess(task.request.model_validate(request))


def test_the_encoders_places_are_counted_right(folder_of):
    for family in (*WHISPER, *OTHERS):
        task = load_speech(folder_of(family), SpeechRecognition)
        for seconds in (0.5, 7.3):
            request = {"inputs": wav(recording(int(seconds * RATE))), "parameters": options()}
            prompt = task.preprocess(task.request.model_validate(request)).rows[0].prompt
            main = prompt.inputs[task.main_input][None]
            with torch.inference_mode():
                states = task.model.get_encoder()(main).last_hidden_state
            assert prompt.source == states.shape[1]


def test_a_model_without_an_encoder_is_refused(folder_of):
    import types

    from deployments.config import ModelConfig

    loaded = SpeechRecognition.load_checkpoint(ModelConfig(model=str(folder_of("whisper-english")), device="cpu"))
    loaded.model.config.is_encoder_decoder = False
    assert isinstance(loaded.model.generate, types.MethodType)
    with pytest.raises(LoadError, match="needs an encoder-decoder model"):
        SpeechRecognition(loaded)


def test_half_precision_hears_nearly_the_same(folder_of):
    task = load_speech(folder_of("whisper-english"), SpeechRecognition, dtype="bfloat16")
    request = task.request.model_validate({"inputs": wav(recording(RATE)), "parameters": options()})
    (ask,) = task.preprocess(request).rows
    assert ask.prompt.inputs[task.main_input].dtype == torch.bfloat16
