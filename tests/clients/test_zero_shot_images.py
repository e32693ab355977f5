"""Hugging Face's Python client asks for the labels of a picture, in memory: no embedded model can answer that."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import AsyncInferenceClient, constants
from huggingface_hub.utils._http import default_async_client_factory

from tests.clients.huggingface_calls import MEDIA, close
from tests.two_towers_model import TwoTowersModel

LABELS = ["a cat", "the river at night", "Vienna"]
VIEW = "zero-shot-image-classification"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTowersModel]:
    model = TwoTowersModel(tmp_path_factory.mktemp("towers"), "clip")
    yield model
    model.replica.stop()


@pytest.fixture(params=["/models/clip", f"/tasks/{VIEW}"])
async def client(
    request: pytest.FixtureRequest, clip: TwoTowersModel, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncInferenceClient]:
    """The client, whose requests go to the application."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    transport = httpx2.ASGITransport(clip.app)
    huggingface_hub.set_async_client_factory(lambda: httpx2.AsyncClient(transport=transport))
    async with AsyncInferenceClient(model=f"http://test{request.param}") as client:
        yield client
    huggingface_hub.set_async_client_factory(default_async_client_factory)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.client("huggingface_hub", VIEW, call="zero_shot_image_classification")
@pytest.mark.parametrize("options", [{}, {"hypothesis_template": "{}!"}])
async def test_labels_of_a_picture(clip: TwoTowersModel, client: AsyncInferenceClient, options: dict[str, Any]) -> None:
    image = base64.b64encode((MEDIA / "cat.jpg").read_bytes()).decode()
    own = await clip.ask(f"/pipeline/{VIEW}", {"inputs": image, "parameters": {"candidate_labels": LABELS} | options})
    answer = await client.zero_shot_image_classification(MEDIA / "cat.jpg", candidate_labels=LABELS, **options)
    assert close([{"label": entry.label, "score": entry.score} for entry in answer], own)
