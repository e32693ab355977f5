"""speech-recognition-ctc against transformers' own pipeline: texts and times exactly."""

import json
from functools import cache

import numpy as np
import pytest

from deployments.errors import InvalidInput, LoadError, TooLarge
from deployments.tasks.speech_recognition_ctc import CTCSpeechRecognition, Request
from tests.checkpoints import load_task
from tests.media_checkpoints import CTC_FAMILIES, RATE, MediaCheckpoints, assert_best_layout
from tests.media_requests import ask, ask_together, recording, recordings, wav

# WavLM's attention gives torch a mask of booleans beside one of floats.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return MediaCheckpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def folder_of(checkpoints):
    return lambda family, **config: checkpoints.of(CTCSpeechRecognition, family, **config)


@pytest.fixture(scope="module")
def loaded(folder_of):
    """A family's task, loaded once."""
    return cache(lambda family: load_task(CTCSpeechRecognition, folder_of(family)))


@pytest.fixture(scope="module")
def minutes():
    return recording(60 * RATE + 1234)


@cache
def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("automatic-speech-recognition", model=str(folder), device="cpu", dtype="float32")


def as_lists(answer):
    chunks = answer.get("chunks")
    return answer["text"], chunks and [(chunk["text"], *chunk["timestamp"]) for chunk in chunks]


@pytest.mark.parametrize("family", CTC_FAMILIES)
def test_recordings_of_all_lengths_together_are_answered_as_by_the_pipeline(folder_of, loaded, family):
    task, pipeline = loaded(family), pipeline_of(folder_of(family))
    assert_best_layout(task, family)
    # Words are put together from letters alike for all families.
    for times in ("char", "word") if family == "wav2vec2-layer" else ("char",) if task.has_timestamps else (None,):
        parameters = {"return_timestamps": times}
        requests = [Request.model_validate({"inputs": wav(each), "parameters": parameters}) for each in recordings()]
        answers = ask_together(task, requests)
        for samples, answer in zip(recordings(), answers, strict=True):
            theirs = pipeline(samples.copy(), **({} if times is None else parameters))
            assert as_lists(answer) == as_lists(theirs)
        assert len({answer["text"] for answer in answers}) > len(answers) / 2  # no dull model
    assert task.has_timestamps == (family != "parakeet")


def test_what_lies_behind_a_recordings_own_end_in_a_batch_is_cut_off(loaded):
    """The model gives as many frames for every row as for the longest; the rest would be read as letters."""
    task = loaded("wav2vec2-layer")
    assert task.layout.name == "padded"
    requests = [Request(inputs=wav(recording(RATE + 1600 * step, step))) for step in range(3)]
    alone = [ask(task, request.inputs) for request in requests]
    prepared = [task.preprocess(request) for request in requests]
    rows = [item.rows[0] for item in prepared]
    own = task.forward(rows, None)
    everything = list(task.run(rows).output.logits.numpy())
    assert [len(logits) for logits in own] == [49, 54, 59]
    for request, item, outputs, answer in zip(requests, prepared, own, alone, strict=True):
        assert task.postprocess(request, item, [outputs]) == answer
    assert task.postprocess(requests[0], prepared[0], [everything[0]]) != alone[0]


@pytest.mark.parametrize(
    ("family", "stride"),
    [
        *(("wav2vec2-group", stride) for stride in (None, 2, [3, 1], 0)),
        *(("hubert-layer", stride) for stride in (None, [0, 2.5])),
        ("wav2vec2-bert", None),
    ],
    ids=str,
)
def test_minutes_in_chunks_are_answered_as_by_the_pipeline(folder_of, minutes, family, stride):
    audio = {"chunk_length_s": 10, "stride_length_s": tuple(stride) if isinstance(stride, list) else stride}
    task, pipeline = load_task(CTCSpeechRecognition, folder_of(family), audio=audio), pipeline_of(folder_of(family))
    request = {"inputs": wav(minutes), "parameters": {"return_timestamps": "char"}}
    (answer,) = ask_together(task, [Request.model_validate(request)])
    theirs = pipeline(minutes.copy(), chunk_length_s=10, stride_length_s=stride, return_timestamps="char")
    assert as_lists(answer) == as_lists(theirs)
    assert len(answer["text"]) > 300


@pytest.mark.parametrize("family", ["wav2vec2-layer", "wav2vec2-bert"])
@pytest.mark.parametrize("times", ["char", "word"])
def test_recordings_about_as_long_as_chunks_are_answered_as_by_the_pipeline(folder_of, family, times):
    """One sample less than a chunk, equal, more; and lasts of all lengths, also shorter than a stride."""
    audio = {"chunk_length_s": 1, "stride_length_s": 0.2}  # a step of 9600 samples
    task, pipeline = load_task(CTCSpeechRecognition, folder_of(family), audio=audio), pipeline_of(folder_of(family))
    for samples in (15_999, 16_000, 16_001, 16_100, 19_200, 25_599, 25_600, 25_601, 28_801, 35_200, 35_201, 35_999):
        request = {"inputs": wav(recording(samples)), "parameters": {"return_timestamps": times}}
        (answer,) = ask_together(task, [Request.model_validate(request)])
        theirs = pipeline(recording(samples), chunk_length_s=1, stride_length_s=0.2, return_timestamps=times)
        assert as_lists(answer) == as_lists(theirs)


@pytest.mark.parametrize("rest", [1, 100, 399])
def test_a_rest_too_short_for_a_frame_belongs_to_the_chunk_before(folder_of, rest):
    """The pipeline fails on it: with no stride the last chunk may be as short as a sample."""
    task = load_task(CTCSpeechRecognition, folder_of("wav2vec2-layer"), audio={"stride_length_s": 0})
    request = Request(inputs=wav(recording(60 * RATE + rest)))
    assert [row.length for row in task.preprocess(request).rows] == [30 * RATE, 30 * RATE + rest]
    assert ask_together(task, [request])[0]["text"]


@pytest.mark.parametrize("family", ["wav2vec2-bert", "parakeet"])
def test_frames_of_a_model_that_reads_spectra_have_their_right_length(folder_of, family):
    """Chunks with a good stride say what the recording says in one piece, but for a few letters about the cuts."""
    task = load_task(CTCSpeechRecognition, folder_of(family), audio={"chunk_length_s": 4})
    assert task.samples_per_frame() == {"wav2vec2-bert": 320, "parakeet": 1280}[family]
    request = Request(inputs=wav(recording(20 * RATE)))
    prepared = task.preprocess(request)
    frames = [
        len(output[chunk.core_frames(task.samples_per_frame())])
        for output, chunk in zip([task.forward([row], None)[0] for row in prepared.rows], prepared.context, strict=True)
    ]
    assert len(frames) > 5
    assert abs(sum(frames) - 20 * RATE / task.samples_per_frame()) <= 1


def test_a_vocoder_of_its_own_speed_keeps_its_times(folder_of):
    """An adapter halves the frames, which `inputs_to_logits_ratio` of the configuration does not know."""
    task = load_task(CTCSpeechRecognition, folder_of("wav2vec2-layer", add_adapter=True, num_adapter_layers=1))
    assert task.samples_per_frame() == 640
    answer = ask(task, wav(recording(4 * RATE)), parameters={"return_timestamps": "char"})
    assert 3.5 < answer["chunks"][-1]["timestamp"][1] <= 4


def test_no_chunks_means_one_piece_up_to_the_limit(folder_of):
    task = load_task(CTCSpeechRecognition, folder_of("wav2vec2-layer"), audio={"chunk_length_s": 0, "max_seconds": 40})
    assert len(task.preprocess(Request(inputs=wav(recording(40 * RATE)))).rows) == 1
    with pytest.raises(TooLarge, match=r"a recording of 41\.0 s; this model reads at most 40 s"):
        ask(task, wav(recording(41 * RATE)))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ({"chunk_length_s": 10, "stride_length_s": 5}, r"must be shorter than audio\.chunk_length_s"),
        ({"chunk_length_s": 10, "stride_length_s": (4, 7)}, r"4 s \+ 7 s"),
        ({"chunk_length_s": 0.02, "stride_length_s": 0}, r"this model reads 0\.025 s to 120 s"),
        ({"chunk_length_s": 0.001}, r"must be shorter than"),
        ({"chunk_length_s": 200}, r"chunk_length_s is 200 s"),
    ],
)
def test_impossible_chunks_end_the_load(folder_of, audio, message):
    with pytest.raises(LoadError, match=message):
        load_task(CTCSpeechRecognition, folder_of("wav2vec2-layer"), layout=None, audio=audio)


def test_silence_is_answered_as_by_the_pipeline(folder_of, loaded):
    task, pipeline = loaded("wav2vec2-layer"), pipeline_of(folder_of("wav2vec2-layer"))
    silence = np.zeros(RATE, np.float32)
    assert ask(task, wav(silence))["text"] == pipeline(silence.copy())["text"]


def test_a_recording_too_short_for_a_frame_is_refused(loaded):
    task = loaded("wav2vec2-layer")
    with pytest.raises(InvalidInput, match=r"a recording of 24\.94 ms; the model needs at least 25\.00 ms"):
        ask(task, wav(recording(399)))


def test_times_from_a_tokenizer_without_them_are_refused(loaded):
    task = loaded("parakeet")
    with pytest.raises(
        InvalidInput, match=r"parameters\.return_timestamps: this model's tokenizer gives no timestamps"
    ):
        ask(task, wav(recording(RATE)), parameters={"return_timestamps": "word"})


@pytest.mark.parametrize("family", ["wav2vec2-layer", "data2vec-audio", "sew"])
def test_the_files_of_a_processor_saved_by_transformers_5_are_read_too(folder_of, tmp_path, family):
    from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer, Wav2Vec2Processor

    folder = folder_of(family)
    processor = Wav2Vec2Processor(AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    processor.save_pretrained(tmp_path)
    AutoModelForCTC.from_pretrained(folder).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    samples = recording(2 * RATE)
    assert ask(load_task(CTCSpeechRecognition, tmp_path, layout="alone"), wav(samples)) == ask(
        load_task(CTCSpeechRecognition, folder, layout="alone"), wav(samples)
    )


def test_a_checkpoint_without_letters_is_refused(folder_of, tmp_path):
    folder = folder_of("wav2vec2-layer")
    for file in folder.iterdir():
        if "vocab" not in file.name and "tokenizer" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(LoadError, match="token"):
        load_task(CTCSpeechRecognition, tmp_path, layout=None)


def test_letters_of_half_precision_are_nearly_the_same(folder_of, loaded):
    folder, exact = folder_of("wav2vec2-layer"), loaded("wav2vec2-layer")
    assert json.loads((folder / "config.json").read_text())["vocab_size"] > 5
    for dtype in ("float16", "bfloat16"):
        half = load_task(CTCSpeechRecognition, folder, dtype=dtype)
        row = exact.preprocess(Request(inputs=wav(recording(2 * RATE)))).rows[0]
        same = half.forward([row], None)[0].argmax(-1) == exact.forward([row], None)[0].argmax(-1)
        assert same.mean() > 0.8
