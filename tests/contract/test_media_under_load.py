"""Tasks of pictures and sound through a whole replica, with many unlike requests in flight and bad ones among them."""

import asyncio
from random import Random
from typing import Any

import orjson
import pytest
from PIL import Image

from deployments.config import ModelConfig, Resources
from deployments.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from deployments.tasks.audio_classification import AudioClassification
from deployments.tasks.feature_extraction_audio import AudioFeatureExtraction
from deployments.tasks.feature_extraction_image import ImageFeatureExtraction
from deployments.tasks.image_classification import ImageClassification
from deployments.tasks.speech_recognition_ctc import CTCSpeechRecognition
from tests.contract.requests import assert_equal
from tests.media_checkpoints import RATE, MediaCheckpoints
from tests.media_requests import picture, pictures, png, recording, recordings, wav
from tests.waiting import PATIENCE_S

# One of each layout for each task: stacked; same length, padded and of a fixed length.
every_replica = pytest.mark.parametrize(
    ("kind", "family"),
    [
        (ImageClassification, "vit"),
        (ImageFeatureExtraction, "convnext"),
        (AudioClassification, "wav2vec2-bert"),
        (AudioClassification, "whisper"),
        (AudioFeatureExtraction, "hubert-layer"),
        (CTCSpeechRecognition, "wav2vec2-group"),
        (CTCSpeechRecognition, "wav2vec2-layer"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
IN_FLIGHT = 60
LIMITS = ReplicaLimits(media=MediaLimits(10_000_000, 10))


def render(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """`replicas(kind, family)`: a loaded replica, of one model each."""
    checkpoints = MediaCheckpoints(tmp_path_factory.mktemp("load"))
    made: dict[Any, Replica] = {}

    def load(kind, family):
        if (kind, family) not in made:
            config = ModelConfig.model_validate(
                {
                    "model": str(checkpoints.of(kind, family)),
                    "resources": Resources(cpu_threads=1),
                    "device": "cpu",
                    "audio": {"chunk_length_s": 1, "max_seconds": 4},
                }
            )
            replica = made[kind, family] = Replica(config, kind, limits=LIMITS)
            replica.load()
        return made[kind, family]

    yield load
    for replica in made.values():
        replica.stop()


def good_media(kind) -> list[Media]:
    return [png(image) for image in pictures()] if kind.medium == "image" else [wav(each) for each in recordings()]


def bad_media(kind) -> list[tuple[Media, type[ServiceError], str]]:
    """What cannot be answered, its error, and a part of the message."""
    if kind.medium == "image":
        return [
            (png(picture(1, 20_000)), InvalidInput, "1 x 20,000 pixels"),
            (Media(b"no picture"), UnsupportedMedia, "not in a supported image format"),
            (Media(png(picture(40, 40)).data[:200]), InvalidInput, "PNG"),
            (png(Image.new("L", (4000, 4000))), TooLarge, "pixels"),
        ]
    return [
        (Media(b"no sound"), UnsupportedMedia, "not in a supported audio format"),
        (Media(wav(recording(RATE)).data[:500]), InvalidInput, "WAV"),
        (wav(recording(11 * RATE)), TooLarge, "10 s"),
    ]


def request(kind, media: Media | list[Media]) -> Any:
    return kind.request.model_validate({"inputs": media})


async def outcomes(replica: Replica, requests: list[Any]) -> list[Any]:
    """Answers (or errors) of requests that are all in flight together, in their order."""
    calls = (replica.predict(each, render, timeout_s=PATIENCE_S) for each in requests)
    return await asyncio.gather(*calls, return_exceptions=True)


async def one_by_one(replica: Replica, requests: list[Any]) -> list[Any]:
    return [orjson.loads((await replica.predict(each, render, timeout_s=PATIENCE_S)).body) for each in requests]


@every_replica
def test_answers_in_a_crowd_are_the_answers_alone(replicas, kind, family):
    replica = replicas(kind, family)
    random = Random(7)
    good, bad = good_media(kind), bad_media(kind)
    alone = asyncio.run(one_by_one(replica, [request(kind, media) for media in good]))
    order = [random.randrange(-2, len(good)) for _ in range(IN_FLIGHT)]  # below 0: one that cannot be answered
    crowd = asyncio.run(
        outcomes(replica, [request(kind, good[i] if i >= 0 else bad[n % len(bad)][0]) for n, i in enumerate(order)])
    )
    for n, (index, outcome) in enumerate(zip(order, crowd, strict=True)):
        if index < 0:
            _, error, message = bad[n % len(bad)]
            assert isinstance(outcome, error)
            assert message in outcome.message
        else:
            assert_equal(orjson.loads(outcome.body), alone[index])
    assert max(outcome.batch_rows for outcome in crowd if not isinstance(outcome, Exception)) > 1
    assert replica.in_flight == 0


@every_replica
def test_a_client_batch_is_its_items_in_order_and_a_bad_one_is_named(replicas, kind, family):
    replica = replicas(kind, family)
    good = good_media(kind)[2:8]
    alone = asyncio.run(one_by_one(replica, [request(kind, media) for media in good]))
    requests = [request(kind, good), request(kind, good[:1])]
    for media, _, _ in bad_media(kind):
        requests.append(request(kind, [*good[:2], media, good[2]]))
    together, single, *refused = asyncio.run(outcomes(replica, requests))
    assert_equal(orjson.loads(together.body), alone)
    assert_equal(orjson.loads(single.body), alone[:1])
    for outcome, (_, error, message) in zip(refused, bad_media(kind), strict=True):
        assert isinstance(outcome, error)
        assert "inputs[2]" in outcome.message
        assert message in outcome.message


def test_an_empty_client_batch_and_one_too_large(replicas):
    replica = replicas(ImageClassification, "vit")
    tiny = png(picture(1, 1))
    empty, many = asyncio.run(
        outcomes(replica, [request(ImageClassification, []), request(ImageClassification, [tiny] * 4097)])
    )
    assert isinstance(empty, InvalidInput)
    assert isinstance(many, TooLarge)
    assert "4,097" in many.message


@pytest.mark.parametrize("family", ["wav2vec2-group", "wav2vec2-layer"])
def test_long_recordings_among_short_ones(replicas, family):
    """Chunks are rows of their own, and mix with those of others."""
    kind = CTCSpeechRecognition
    replica = replicas(kind, family)
    requests = [request(kind, wav(recording(int(seconds * RATE), 9))) for seconds in (9.7, 0.3, 4.4, 1, 8, 1.0001)]
    alone = asyncio.run(one_by_one(replica, requests))
    crowd = asyncio.run(outcomes(replica, requests * 4))
    for number, outcome in enumerate(crowd):
        assert_equal(orjson.loads(outcome.body), alone[number % len(requests)])
    assert max(outcome.batch_rows for outcome in crowd) > 3
