"""Each form sends a real request as it is prefilled, and its view shows what the task's route answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deployments.registry import TASKS
from tests.playground.bench import Bench
from tests.service.test_examples import close

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

Shown = dict[str, list[str]]


def percent(share: float) -> str:
    """As the page writes a share that is not tiny."""
    if share >= 0.9995:
        return "100 %"
    return f"{share * 100:.1f} %" if share >= 0.0995 else f"{share * 100:.2f} %"


def bars(labels: list[Any]) -> Shown:
    return {
        ".score-bars li:first-child .bar-name": [labels[0]["label"]],
        ".score-bars .bar-name": [each["label"] for each in labels],
    }


def classes(answer: Any) -> Shown:
    assert answer[0][0]["label"] == "INJECTION"
    return bars(answer[0]) | {".is-best .bar-score": [percent(answer[0][0]["score"])]}


def entities(answer: Any) -> Shown:
    assert {"GIVEN_NAME", "SURNAME", "CITY"} <= {entity["entity_group"] for entity in answer}
    return {
        ".entity .entity-label": [entity["entity_group"] for entity in answer],
        "td:last-child": [percent(e["score"]) for e in answer],
    }


def marked(answer: Any) -> Shown:
    assert answer["answer"] == "Warsaw"
    return {".context mark": ["Warsaw"], ".big-answer .score": [percent(answer["score"])]}


def fillings(answer: Any) -> Shown:
    assert answer[0]["token_str"] == "treatment"
    return {".sentence mark": ["treatment"], ".word": [filling["token_str"] for filling in answer]}


def ranked(answer: Any) -> Shown:
    assert answer[0]["choice"] == "car"
    return {".score-bars .bar-name": [choice["choice"] for choice in answer]}


def alike(answer: Any) -> Shown:
    a, b, c, _ = answer
    music, money = (sum(x * y for x, y in zip(a, other, strict=True)) for other in (b, c))
    assert music > 0.5 > money
    return {
        ".matrix tbody tr:first-child td:nth-child(n+2):nth-child(-n+4)": [
            "1.00",
            f"{music:.2f}",
            f"{money:.2f}".replace("-", "\N{MINUS SIGN}"),
        ]
    }


def seen(answer: Any) -> Shown:
    assert answer[0]["label"] == "Egyptian Mau"
    return bars(answer)


def heard(answer: Any) -> Shown:
    assert answer[0]["label"] == "seven"
    return bars(answer)


def spoken(text: str) -> Callable[[Any], Shown]:
    def shown(answer: Any) -> Shown:
        assert text in answer["text"]
        times = [f"{start:.2f} s – {end:.2f} s" for start, end in (chunk["timestamp"] for chunk in answer["chunks"])]
        words = [chunk["text"].strip() for chunk in answer["chunks"]]
        return {".written": [answer["text"].strip()], ".spoken-text": words, ".spoken-time": times}

    return shown


def written(beginning: str) -> Callable[[Any], Shown]:
    def shown(answer: Any) -> Shown:
        (text,) = answer
        assert text["generated_text"].strip().startswith(beginning)
        return {".new-text": [" ".join(text["generated_text"].split())]}

    return shown


SHOWN: dict[str, Callable[[Any], Shown]] = {
    "text-classification": classes,
    "token-classification": entities,
    "question-answering": marked,
    "fill-mask": fillings,
    "multiple-choice": ranked,
    "feature-extraction": alike,
    "text-generation": written("a small breading of the genus"),
    "text2text-generation": written("S EH2 R AH0 N D IH1 P AH0 T IY0"),
    "image-classification": seen,
    "image-to-text": written("40712"),
    "audio-classification": heard,
    "speech-recognition-ctc": spoken("three one four"),
    "speech-recognition-seq2seq": spoken("Mr. John Dashwood"),
}


async def test_every_task_is_here() -> None:
    assert SHOWN.keys() == TASKS.keys()


@pytest.mark.parametrize("task", SHOWN)
async def test_a_form_gets_what_the_route_answers(same_page: Bench, task: str) -> None:
    bench = same_page
    await bench.open(task)
    streams = bench.page.get_by_role("switch", name="Stream")
    if await streams.count():
        await streams.set_checked(False, force=True)
    exchange = await bench.run()
    assert exchange.status == 200
    assert exchange.path == f"/tasks/{task}"
    answer = await exchange.asked_again()
    assert close(json.loads(exchange.text), answer)
    for selector, texts in SHOWN[task](answer).items():
        assert await bench.shown(selector) == texts, selector
    assert await bench.shown(".status") == ["200 OK"]
    assert [line.split()[0] for line in await bench.shown(".time-legend div")] == [
        *("queue", "preprocess", "forward", "postprocess", "other")
    ]
    assert {"batch size", "padding"} <= {
        " ".join(line.split()[:-1]).removesuffix(" 0") for line in await bench.shown(".batch-facts div")
    }


async def test_characters_are_counted_as_the_service_counts_them(bench: Bench) -> None:
    """An emoji is one character there and two here: what stands behind it must not slip."""
    await bench.open("token-classification")
    await bench.page.get_by_role("button", name="A message").click()
    await bench.run()
    marked = await bench.answer.locator(".entity").evaluate_all("marks => marks.map((mark) => mark.firstChild.data)")
    assert marked == ["Maria", "Gonzalez", "(415) 555-0182"]


async def test_a_word_is_put_into_its_blank(bench: Bench) -> None:
    await bench.open("fill-mask")
    await bench.page.get_by_role("button", name="Two blanks").click()
    await bench.run()
    assert len(await bench.shown(".sentence mark")) == 2
    second = bench.answer.locator(".score-bars").nth(1).locator(".word").nth(1)
    word = await second.inner_text()
    await second.click()
    assert (await bench.shown(".sentence mark"))[1] == word


async def test_options_come_from_the_schema(bench: Bench) -> None:
    await bench.open("text-classification")
    await bench.page.locator("summary").click()
    await bench.page.get_by_label("top_k").fill("1")
    exchange = await bench.run()
    assert json.loads(exchange.body)["parameters"] == {"top_k": 1}
    assert len(json.loads(exchange.text)[0]) == 1


async def test_what_was_typed_stays_while_another_task_is_looked_at(bench: Bench) -> None:
    await bench.open("text-classification")
    await bench.page.get_by_label("Text", exact=True).fill("A text of my own.")
    await bench.turn_to("fill-mask")
    await bench.turn_to("text-classification")
    assert await bench.page.get_by_label("Text", exact=True).input_value() == "A text of my own."
