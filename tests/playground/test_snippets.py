"""The call that the page shows for each language gives what the page shows."""

import ast
import contextlib
import io
import json
import subprocess
from typing import Any

import pytest
from huggingface_hub import constants

from serve.playground.routes import FOLDER
from tests.playground.bench import Bench
from tests.playground.test_tasks import SHOWN
from tests.service.test_examples import close, parsed

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="package")]

# What the Python clients print of each task's example; what has none is not offered by them.
HUB = {
    "text-classification": "label='INJECTION'",
    "token-classification": "entity_group='GIVEN_NAME'",
    "question-answering": "answer='Warsaw'",
    "fill-mask": "token_str='treatment'",
    "feature-extraction": "[[",
    "text-generation": " a small breading of the genus",
    "text2text-generation": "S EH2 R AH0 N D IH1 P AH0 T IY0",
    "image-classification": "label='Egyptian Mau'",
    "image-to-text": "40712",
    "audio-classification": "label='seven'",
    "speech-recognition-ctc": "three one four",
    "speech-recognition-seq2seq": "Mr. John Dashwood",
}
OPENAI = {
    "feature-extraction": "[[",
    "text-generation": " a small breading of the genus",
    "text2text-generation": "S EH2 R AH0 N D IH1 P AH0 T IY0",
    "speech-recognition-ctc": "three one four",
    "speech-recognition-seq2seq": "Mr. John Dashwood",
}


@pytest.fixture(autouse=True)
def _beside_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets name the sample files; and the client, which the tests forbid the network, asks this machine."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(FOLDER / "media")


def printed(code: str) -> str:
    """What a snippet of Python prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(ast.parse(code), "snippet", "exec"), {})
    return out.getvalue()


def by_curl(code: str) -> Any:
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return parsed(ran.stdout)


@pytest.mark.parametrize("task", SHOWN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the snippets leave the file that they send open
async def test_the_snippets_of_a_task(same_page: Bench, task: str) -> None:
    bench = same_page
    await bench.open(task)
    exchange = await bench.run()
    tabs = await bench.answer.get_by_role("tab").all_inner_texts()
    offered = [*(["huggingface_hub"] if task in HUB else []), *(["openai"] if task in OPENAI else [])]
    assert tabs == ["JSON", "curl", *offered, "fetch"]
    assert close(by_curl(await bench.code("curl")), parsed(exchange.text))
    if task in HUB:
        assert HUB[task] in printed(await bench.code("huggingface_hub"))
    if task in OPENAI:
        assert OPENAI[task] in printed(await bench.code("openai"))


async def test_the_call_for_javascript_runs_in_the_page(bench: Bench) -> None:
    await bench.open("fill-mask")
    exchange = await bench.run()
    code = (await bench.code("fetch")).replace("console.log(await response.json())", "return response.json()")
    assert close(await bench.page.evaluate(f"async () => {{ {code} }}"), json.loads(exchange.text))


async def test_a_file_with_options_is_a_form(bench: Bench) -> None:
    await bench.open("image-classification")
    await bench.page.locator("summary").click()
    await bench.page.get_by_label("top_k").fill("2")
    exchange = await bench.run()
    assert len(json.loads(exchange.text)) == 2
    assert "--form-string 'top_k=2'" in await bench.code("curl")
    assert close(by_curl(await bench.code("curl")), json.loads(exchange.text))
    assert 'form.append("top_k", "2");' in await bench.code("fetch")
    assert "top_k=2" in await bench.code("huggingface_hub")


async def test_quotes_survive_the_shell(bench: Bench) -> None:
    await bench.open("text-classification")
    await bench.page.get_by_label("Text", exact=True).fill('It\'s "quoted" \\ and $HOME `ls`\nin two lines')
    exchange = await bench.run()
    assert close(by_curl(await bench.code("curl")), json.loads(exchange.text))
    assert "label=" in printed(await bench.code("huggingface_hub"))
