"""TEI's and OpenAI's routes with models of dense and of sparse vectors: each gives its own, and refuses others'."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from deployments.replica.replica import Replica
from serve.apis.model_client import ModelClient
from serve.apis.open_inference.inference import OpenInference
from serve.apis.protocols import protocol_routes
from serve.config.service import Options
from serve.model.endpoint import build_endpoint
from serve.routes import RouteTable
from serve.upstream.in_process import InProcessReplica
from tests import late_interaction_checkpoints, sparse_checkpoints
from tests.checkpoints import small_checkpoint
from tests.serving import answer, replica_of

TEXTS = ["The river rose.", "Paris is the capital of France."]


class Served:
    """A model behind the protocols' routes."""

    def __init__(self, name: str, replica: Replica) -> None:
        self.replica = replica
        self.own = answer(replica, inputs=TEXTS)  # of the model's own route
        table = RouteTable([(name, replica.task_class)])
        options = Options()
        client = ModelClient(
            table, InProcessReplica(build_endpoint(replica, table.routes[0], options)), options.limits.body
        )
        inference = OpenInference(client, table, no_states)
        self.app = Starlette(routes=list(protocol_routes(client, inference, options.limits)))

    async def ask(self, path: str, **body: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test") as client:
            return await client.post(path, json=body)


async def no_states() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    root = tmp_path_factory.mktemp("vectors")
    (root / "sparse").mkdir()
    sparse_checkpoints.FORMS["max"](root / "sparse")
    small_checkpoint(root / "dense", "bert", "")
    (root / "several").mkdir()
    late_interaction_checkpoints.FORMS["PyLate"](root / "several")
    served = {
        "dense": Served("dense", replica_of(root / "dense", pooling={"mode": "mean"})),
        "sparse": Served("sparse", replica_of(root / "sparse")),
        "several": Served("several", replica_of(root / "several")),
    }
    yield served
    for each in served.values():
        each.replica.stop()


async def test_sparse_vectors(models: dict[str, Served]) -> None:
    own = models["sparse"].own
    for inputs, expected in ((TEXTS, own), (TEXTS[0], own[:1])):
        got = await models["sparse"].ask("/embed_sparse", inputs=inputs, model="sparse")
        assert got.json() == expected
    one = expected[0][0]
    assert set(one) == {"index", "value"}
    assert one["value"] > 0


async def test_similarity(models: dict[str, Served]) -> None:
    inputs = {"source_sentence": TEXTS[0], "sentences": [TEXTS[0], TEXTS[1]]}
    cosines = (await models["dense"].ask("/similarity", inputs=inputs)).json()
    assert cosines[0] == pytest.approx(1, abs=1e-5)
    assert abs(cosines[1]) < 0.999
    products = (await models["sparse"].ask("/similarity", inputs=inputs)).json()
    vectors = [{entry["index"]: entry["value"] for entry in vector} for vector in models["sparse"].own]
    assert products[1] == pytest.approx(
        sum(value * vectors[1].get(index, 0) for index, value in vectors[0].items()), rel=1e-4
    )


async def test_a_vector_per_token(models: dict[str, Served]) -> None:
    several = models["several"]
    assert (await several.ask("/embed_all", inputs=TEXTS)).json() == several.own
    queries = (await several.ask("/embed_all", inputs=TEXTS, prompt_name="query")).json()
    assert [len(query) for query in queries] == [16, 16], "filled up"
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS}
    scores = (await several.ask("/similarity", inputs=inputs)).json()
    best = [
        max(sum(a * b for a, b in zip(token, other, strict=True)) for other in several.own[1]) for token in queries[0]
    ]
    assert scores[1] == pytest.approx(sum(best), abs=1e-4)
    for raw in (True, False):
        ranked = (await several.ask("/rerank", query=TEXTS[0], texts=TEXTS, raw_scores=raw)).json()
        assert [entry["score"] for entry in ranked] == sorted(scores, reverse=True)
    documents = (await several.ask("/v2/rerank", query=TEXTS[0], documents=TEXTS, model="several", top_n=1)).json()
    assert documents["results"][0]["relevance_score"] == max(scores)
    assert documents["usage"]["prompt_tokens"] > 0
    cut = {"query": TEXTS[0], "documents": [TEXTS[1], f"{TEXTS[1]} {TEXTS[0]}"], "max_tokens_per_doc": 3}
    one, other = (await several.ask("/v2/rerank", **cut)).json()["results"]
    assert one["relevance_score"] == pytest.approx(other["relevance_score"], abs=1e-5)
    too_long = await several.ask("/rerank", query=TEXTS[0], texts=["long " * 100])
    assert too_long.status_code == 422
    assert "inputs[1]: inputs has" in too_long.text


@pytest.mark.parametrize("name", ["dense", "sparse", "several"])
async def test_tensors(models: dict[str, Served], name: str) -> None:
    text = {"name": "text", "datatype": "BYTES", "shape": [2], "data": TEXTS}
    got = await models[name].ask(f"/v2/models/{name}/infer", inputs=[text])
    assert got.status_code == 200, got.text
    outputs = {output["name"]: output for output in got.json()["outputs"]}
    if name == "sparse":
        first = outputs["value"]["data"][: len(models[name].own[0])]
        assert first == pytest.approx([entry["value"] for entry in models[name].own[0]], abs=1e-5)
        assert outputs["count"]["data"] == [len(vector) for vector in models[name].own]
    else:
        assert (outputs["embedding"]["shape"][0], outputs["embedding"]["shape"][-1]) == (
            2,
            32 if name == "dense" else 8,
        )


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        (
            "/embed_sparse",
            "dense",
            "'dense' gives one dense vector per text, not a sparse vector per text; use /embed,",
        ),
        (
            "/embed",
            "sparse",
            "'sparse' gives a sparse vector per text, not one dense vector per text; use /embed_sparse",
        ),
        ("/embed_all", "sparse", "'sparse' gives a sparse vector per text"),
        ("/v1/embeddings", "sparse", "'sparse' gives a sparse vector per text"),
        (
            "/embed",
            "several",
            "'several' gives a vector per token, not one dense vector per text; use /embed_all, /sim",
        ),
        ("/embed_sparse", "several", "'several' gives a vector per token"),
        ("/predict", "several", "no served model does classification"),
    ],
)
async def test_vectors_that_a_model_does_not_give_are_refused(
    models: dict[str, Served], path: str, name: str, message: str
) -> None:
    field = "input" if path.startswith("/v1") else "inputs"
    got = await models[name].ask(path, **{field: TEXTS})
    assert got.status_code == 422, got.text
    assert message in got.text
