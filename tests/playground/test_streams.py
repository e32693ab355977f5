"""A text appears piece by piece, and stops when it is told to."""

import re

import pytest

from tests.playground.bench import Bench

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]


async def test_a_text_grows_token_by_token(bench: Bench) -> None:
    await bench.open("text-generation")
    await bench.page.evaluate(
        """() => {
          window.seen = new Set();
          const note = (text) => window.seen.add(text.textContent);
          const watch = () => document.querySelectorAll('.new-text').forEach(note);
          new MutationObserver(watch).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    await bench.run()
    seen = sorted(await bench.page.evaluate("() => [...window.seen]"), key=len)
    assert len(seen) > 10
    assert all(later.startswith(earlier) for earlier, later in zip(seen, seen[1:], strict=False))
    (facts,) = await bench.shown(".stack > .stack > .facts")
    assert re.fullmatch(r"\d+ tokens · [\d.]+ tokens/s · first after [\d.]+ ms", facts)
    assert '"generated_text"' in await bench.code("JSON")


async def test_a_stream_stops_on_demand(bench: Bench) -> None:
    await bench.open("text-generation")
    await bench.page.get_by_role("button", name="A long one").click()
    # Pressed by the page itself once some words stand there: from here the text would be over before.
    await bench.page.evaluate(
        """() => new MutationObserver((_, observer) => {
          const button = document.querySelector('.run.is-running');
          if (!button || (document.querySelector('.new-text')?.textContent.length ?? 0) < 30) return;
          observer.disconnect();
          window.pressed = button.textContent;
          button.click();
        }).observe(document.body, { childList: true, subtree: true, characterData: true })"""
    )
    await bench.button.click()
    await bench.page.get_by_text("stopped").wait_for()
    assert await bench.page.evaluate("window.pressed") == "Stop"
    assert await bench.button.inner_text() == "Run"
    (facts,) = await bench.shown(".stack > .stack > .facts")
    assert 5 < int(facts.split()[0]) < 250
    (kept,) = await bench.shown(".new-text")
    await bench.page.wait_for_timeout(300)
    assert await bench.shown(".new-text") == [kept]


@pytest.mark.parametrize("task", ["text2text-generation", "image-to-text", "speech-recognition-seq2seq"])
async def test_others_that_write_stream_too(bench: Bench, task: str) -> None:
    await bench.open(task)
    await bench.page.get_by_role("switch", name="Stream").set_checked(True, force=True)
    exchange = await bench.run()
    assert exchange.status == 200
    assert exchange.text.startswith("data:")
    assert "tokens/s" in (await bench.shown(".stack > .stack > .facts"))[0]
