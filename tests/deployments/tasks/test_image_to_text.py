"""image-to-text against `model.generate` of the same folder: every family, alone and with others in flight."""

import asyncio
import base64
from random import Random
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from deployments.config import ModelConfig, Resources
from deployments.errors import InvalidInput, LoadError, ServiceError, TooLarge, UnsupportedMedia
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from deployments.registry import task_of
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from deployments.tasks.image_to_text import ImageToText, Request
from serve.http.errors import validation_error
from tests.captioning_checkpoints import FAMILIES, MORE_FAMILIES, captioning_checkpoint
from tests.captioning_reference import Reference
from tests.media_requests import picture, pictures, png
from tests.waiting import PATIENCE_S

QUESTION = "Who wrote the letter?"
MAX_PIXELS = 1_000_000
LIMITS = ReplicaLimits(media=MediaLimits(MAX_PIXELS, 10))

every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made: dict[str, Any] = {}

    def folder(family):
        if family not in made:
            made[family] = captioning_checkpoint(tmp_path_factory.mktemp("captions") / family, family)
        return made[family]

    return folder


@pytest.fixture(scope="module")
def references(folders):
    made: dict[str, Reference] = {}
    return lambda family: made.get(family) or made.setdefault(family, Reference(folders(family), family))


@pytest.fixture(scope="module")
def replicas(folders):
    """`replicas(family)`: a loaded replica, of one model each, of the task that the registry finds."""
    made: dict[str, Replica] = {}

    def load(family, **settings):
        if (key := f"{family} {settings}") not in made:
            resources = Resources(cpu_threads=1)
            config = ModelConfig.model_validate(
                {"model": str(folders(family)), "resources": resources, "device": "cpu", **settings}
            )
            replica = made[key] = Replica(config, task_of(config), limits=LIMITS)
            replica.load()
        return made[key]

    yield load
    for replica in made.values():
        replica.stop()


def request(inputs, *, stream=False, text=None, **parameters) -> Request:
    body = {"inputs": inputs, "parameters": {"max_new_tokens": 10, **parameters}, "stream": stream, "text": text}
    return Request.model_validate({name: value for name, value in body.items() if value not in (None, False)})


async def outcomes(replica, requests) -> list[Any]:
    """Answers (or errors) of requests that are all in flight together."""
    calls = [replica.predict(each, orjson.dumps, timeout_s=PATIENCE_S) for each in requests]
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [each if isinstance(each, Exception) else orjson.loads(each.body) for each in done]


def ask(replica, inputs, **parameters) -> Any:
    (outcome,) = asyncio.run(outcomes(replica, [request(inputs, **parameters)]))
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def events(replica, streamed) -> list[Any]:
    return [event async for event in replica.stream(streamed, timeout_s=PATIENCE_S)]


def expected(reference, image, text=None, **options) -> str:
    """What `generate` writes behind the prompt."""
    whole, before = reference.says(reference.inputs(image, text), **options), reference.prompt(text)
    assert whole.startswith(before)
    return whole[len(before) :]


@every_family
def test_each_family_runs_in_flight_and_is_found_by_its_architecture(replicas, family):
    replica = replicas(family)
    assert replica.task_class is ImageToText
    assert replica.description["generation"]["mode"] == "in-flight"
    assert replica.description["generation"]["difference"] < 1e-4


@every_family
def test_a_caption_alone_is_what_generate_says(replicas, references, family):
    said = []
    for image in pictures()[:6]:
        (answer,) = ask(replicas(family), png(image))
        assert answer["generated_text"] == expected(references(family), image, max_new_tokens=10)
        assert answer.get("details") is None
        said.append(answer["generated_text"])
    assert len(set(said)) > 2  # no dull model


@every_family
def test_twelve_unlike_requests_in_flight_get_what_they_get_alone(replicas, references, family):
    random, mixed, texts = Random(3), [], []
    for number, image in enumerate([*pictures(), picture(77, 44)]):
        text = (None, QUESTION, "A man plays")[number % 3]
        new = random.randint(2, 24)
        inputs = png(image) if text is None else {"image": png(image), "text": text}
        mixed.append(request(inputs, max_new_tokens=new))
        texts.append(expected(references(family), image, text, max_new_tokens=new))
    answers = asyncio.run(outcomes(replicas(family), mixed))
    assert [answer[0]["generated_text"] for answer in answers] == texts


@every_family
def test_a_text_is_gone_on_with_and_may_be_in_the_answer(replicas, references, family):
    image, reference = picture(60, 50), references(family)
    inputs = {"image": png(image), "question": QUESTION}
    whole = reference.says(reference.inputs(image, QUESTION), max_new_tokens=10)
    assert ask(replicas(family), inputs, return_full_text=True)[0]["generated_text"] == whole
    assert ask(replicas(family), inputs)[0]["generated_text"] == expected(reference, image, QUESTION, max_new_tokens=10)
    assert ask(replicas(family), png(image), text=QUESTION) == ask(replicas(family), inputs)
    assert ask(replicas(family), inputs) != ask(replicas(family), png(image))


@every_family
def test_the_pieces_of_a_stream_are_the_text(replicas, family):
    inputs = {"image": png(picture(60, 50)), "prompt": "The worst meal"}
    replica = replicas(family)
    told = asyncio.run(events(replica, request(inputs, stream=True, max_new_tokens=12)))
    text = ask(replica, inputs, max_new_tokens=12)[0]["generated_text"]
    assert "".join(event["token"]["text"] for event in told if not event["token"]["special"]) == text
    assert told[-1]["generated_text"] == text
    assert [event["index"] for event in told] == list(range(1, len(told) + 1))


@every_family
def test_a_seed_draws_the_same_text_whatever_else_runs(replicas, family):
    drawn = {"do_sample": True, "temperature": 1.5, "seed": 11}
    images = [png(image) for image in pictures()]
    alone = ask(replicas(family), images[3], **drawn)
    crowd = [request(image, **(drawn if number == 3 else {"do_sample": True})) for number, image in enumerate(images)]
    assert asyncio.run(outcomes(replicas(family), crowd))[3] == alone
    assert ask(replicas(family), images[3], **(drawn | {"seed": 12})) != alone


@every_family
def test_beams_run_in_static_batches_and_say_what_generate_says(replicas, references, family):
    image = picture(60, 50)
    (answer,) = ask(replicas(family), {"image": png(image), "text": QUESTION}, num_beams=3)
    assert answer["generated_text"] == expected(references(family), image, QUESTION, max_new_tokens=10, num_beams=3)


@every_family
def test_static_batches_say_the_same(replicas, references, family):
    replica = replicas(family, generation={"engine": "static"})
    assert replica.description["generation"]["mode"] == "static"
    mixed = [request(png(image)) for image in pictures()[:5]]
    for image, answer in zip(pictures(), asyncio.run(outcomes(replica, mixed)), strict=False):
        assert answer[0]["generated_text"] == expected(references(family), image, max_new_tokens=10)


@every_family
def test_details_are_those_of_a_generating_task(replicas, family):
    (answer,) = ask(replicas(family), png(picture(60, 50)), details=True, max_new_tokens=4)
    details = answer["details"]
    assert details["generated_tokens"] == len(details["tokens"]) <= 4
    assert details["finish_reason"] in ("length", "eos_token")
    assert all(token["logprob"] <= 0 for token in details["tokens"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # PaliGemma's processor: numpy
@pytest.mark.parametrize("family", MORE_FAMILIES)
def test_more_families_say_what_generate_says(replicas, references, family):
    replica, reference = replicas(family), references(family)
    mixed, texts = [], []
    for number, image in enumerate(pictures()):
        text = {"donut": "<s_parse>river", "pix2struct": None}.get(family, QUESTION) if number % 2 else None
        inputs = png(image) if text is None else {"image": png(image), "text": text}
        mixed.append(request(inputs, max_new_tokens=number + 2, return_full_text=True))
        texts.append(reference.says(reference.inputs(image, text), max_new_tokens=number + 2))
    answers = asyncio.run(outcomes(replica, mixed))
    assert [answer[0]["generated_text"] for answer in answers] == texts
    assert replica.description["generation"]["mode"] == ("static" if family == "blip-2" else "in-flight")


def test_half_precision_reads_pictures(replicas):
    for family in FAMILIES:
        assert ask(replicas(family, dtype="bfloat16"), png(picture(60, 50)))[0]["generated_text"]


BAD = (
    (png(picture(1, 20_000)), InvalidInput, "is an image of 1 x 20,000 pixels"),
    (Media(b"no picture"), UnsupportedMedia, "not in a supported image format"),
    (Media(png(picture(40, 40)).data[:200]), InvalidInput, "PNG"),
    (png(picture(1100, 1000)), TooLarge, "limits.max_pixels is 1,000,000"),
    (Media(b"", url="http://example.org/a.png"), InvalidInput, "is a URL, which is not fetched here"),
)


@pytest.mark.parametrize(("media", "error", "message"), BAD)
def test_bad_pictures_are_refused_wherever_they_stand(replicas, media: Media, error: type[ServiceError], message):
    good, chat = png(picture(40, 40)), lambda each: [{"role": "user", "content": [{"type": "image", "image": each}]}]
    places = {
        "inputs": media,
        "inputs.image": {"image": media, "text": "a"},
        "inputs[0].content[0]": chat(media),
    }
    for place, inputs in places.items():
        bad, fine = asyncio.run(outcomes(replicas("llava"), [request(inputs), request(chat(good))]))
        assert type(bad) is error
        assert bad.message.startswith(place)
        assert message in bad.message
        assert fine[0]["generated_text"]
    (bad,) = asyncio.run(outcomes(replicas("llava"), [request([good, media])]))
    assert type(bad) is error
    assert bad.message.startswith("inputs[1]: inputs")


def test_a_list_is_a_client_batch_of_pictures_texts_and_chats(replicas):
    image = png(picture(60, 50))
    chat = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}]
    answers = ask(replicas("llava"), [image, {"image": image, "text": QUESTION}, chat])
    assert answers[0] == ask(replicas("llava"), image)
    assert answers[1] == answers[2] == ask(replicas("llava"), chat)
    assert answers[0] != answers[1]


def test_chats_are_read_as_the_template_and_the_processor_have_them(replicas, references):
    reference, seen = references("llava"), [picture(60, 50), picture(40, 70, seed=2)]
    as_text = [base64.b64encode(png(image).data).decode() for image in seen]
    chat = [
        {"role": "system", "content": [{"type": "text", "text": "Two pictures come."}]},
        {
            "role": "user",
            "content": [
                {"type": "image", "url": as_text[0]},
                {"type": "text", "text": "before the bridge"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{as_text[1]}", "detail": "auto"}},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "It was gone."}]},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    decoded = [message | {"content": [dict(part) for part in message["content"]]} for message in chat]
    decoded[1]["content"][0] = {"type": "image", "image": seen[0]}
    decoded[1]["content"][2] = {"type": "image", "image": seen[1]}
    whole = reference.says(reference.chat(decoded), max_new_tokens=10)
    assert ask(replicas("llava"), chat, return_full_text=True)[0]["generated_text"] == whole
    # Words in a string are not lost in a template that looks for parts.
    shorter = [*chat[:3], {"role": "user", "content": QUESTION}]
    assert ask(replicas("llava"), shorter) == ask(replicas("llava"), chat)


def test_chats_with_one_two_and_no_pictures_are_in_flight_together(replicas):
    images = [png(image) for image in pictures()]

    def chat(number):
        shown = [{"type": "image", "image": image} for image in images[number : number + number % 3]]
        return [{"role": "user", "content": [*shown, {"type": "text", "text": "The river rose " * (number % 4 + 1)}]}]

    chats = [request(chat(number), max_new_tokens=3 + number) for number in range(9)]
    alone = [asyncio.run(outcomes(replicas("llava"), [each]))[0] for each in chats]
    assert asyncio.run(outcomes(replicas("llava"), chats)) == alone


def test_what_the_assistant_began_is_gone_on_with(replicas):
    image = {"type": "image", "image": png(picture(60, 50))}
    asked = {"role": "user", "content": [image]}
    began = {"role": "assistant", "content": [{"type": "text", "text": "The old bridge"}]}
    whole = ask(replicas("llava"), [asked, began], return_full_text=True)[0]["generated_text"]
    assert whole.startswith("user: \nassistant: The old bridge")
    assert not whole.startswith("user: \nassistant: The old bridge\n")


def test_a_chat_with_a_picture_written_into_its_text_is_refused(replicas):
    for text in ("<image>", "a <image> b"):
        for inputs in ({"image": png(picture(40, 40)), "text": text}, [{"role": "user", "content": text}]):
            with pytest.raises(InvalidInput, match="'<image>' in a text"):
                ask(replicas("llava"), inputs)


def test_pictures_of_a_chat_count_together(replicas):
    part = {"type": "image", "image": png(picture(900, 700))}
    with pytest.raises(TooLarge, match="more than 1,260,000 pixels in all"):
        ask(replicas("llava"), [{"role": "user", "content": [part, part]}])


def test_a_captioner_refuses_chats(replicas):
    chat = [{"role": "user", "content": [{"type": "image", "image": png(picture(40, 40))}]}]
    with pytest.raises(InvalidInput, match="inputs is a chat, which this model does not support"):
        ask(replicas("blip"), chat)


def test_a_text_longer_than_the_model_counts_is_refused(replicas):
    with pytest.raises(InvalidInput, match="maximum context length is 256"):
        ask(replicas("git"), {"image": png(picture(40, 40)), "text": "river " * 300})
    with pytest.raises(InvalidInput, match="inputs.text is empty"):
        ask(replicas("git"), {"image": png(picture(40, 40)), "text": " "})


AAAA = "AAAA"


def part(**fields):
    return [{"role": "user", "content": [fields]}]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (7, "inputs: should be a string: base64, a data URL or a URL"),
        ({"image": AAAA, "text": "a", "question": "b"}, "inputs.question: unknown field"),
        ({"text": "a"}, "inputs.image: is missing"),
        ({"image": "!!"}, "inputs.image: is neither base64 nor a data URL: character '!' at 0"),
        ([AAAA, {"image": "!!"}], "inputs[1].image: is neither base64 nor a data URL: character '!' at 0"),
        ([AAAA, 7], "inputs[1]: should be a string: base64, a data URL or a URL"),
        (part(type="image", image="!!"), "inputs[0].content[0].image: is neither base64 nor a data URL: character"),
        (part(type="image"), "inputs[0].content[0]: a part of type 'image' must have the field `image` and no other"),
        (
            part(type="text", text="a", image=AAAA),
            "inputs[0].content[0]: a part of type 'text' must have the field `text` and",
        ),
        (part(type="video"), "inputs[0].content[0].type: should be 'text', 'image' or 'image_url'"),
        ([{"role": "robot", "content": "a"}], "inputs[0].role: should be 'system', 'user' or 'assistant'"),
        ([[]], "body: a chat needs at least one message"),
        ([{"role": "user", "content": [{"type": "image", "url": AAAA}] * 65}], "body: a chat may have at most 64 im"),
    ],
)
def test_what_is_wrong_is_said_of_the_one_type_that_was_meant(inputs, message):
    with pytest.raises(ValidationError) as caught:
        Request.model_validate_json(orjson.dumps({"inputs": inputs}))
    assert validation_error(caught.value).message.startswith(message)


def test_a_text_beside_a_chat_is_refused():
    with pytest.raises(ValidationError, match="a chat contains its own text"):
        Request.model_validate({"inputs": [{"role": "user", "content": "a"}], "text": "b"})


def test_a_checkpoint_without_a_start_token_is_refused(folders, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in folders("vit-gpt2").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "generation_config.json").unlink()
    config = orjson.loads((folder / "config.json").read_bytes())
    for part in (config, config["decoder"]):
        part["decoder_start_token_id"] = part["bos_token_id"] = None
    (folder / "config.json").write_bytes(orjson.dumps(config))
    settings = ModelConfig.model_validate({"model": str(folder), "device": "cpu"})
    with pytest.raises(LoadError, match="no decoder_start_token_id"):
        Replica(settings, task_of(settings)).load()
