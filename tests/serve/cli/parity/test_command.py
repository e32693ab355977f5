"""`automodel-serve parity`, on real models: what it finds equal, and what it must not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deployments.replica.replica import Replica
from deployments.tasks.text_classification import TextClassification
from serve.cli.main import app
from serve.cli.parity import command, reference
from serve.cli.parity.measurement import RUNS, parity_of
from tests.checkpoints import small_checkpoint
from tests.media_checkpoints import small_media_checkpoint
from tests.writing_checkpoints import writing_checkpoint

NAMES = ("classifier", "embedder", "decoder", "pictures")
SERVICE = """
limits: {max_batch_items: 5, max_waiting: 6}
models:
  - {model: classifier, name: classifier}
  - {model: embedder, name: embedder, pooling: {mode: mean, normalize: true}}
  - {model: decoder, name: decoder}
  - {model: pictures, name: pictures}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    small_checkpoint(folder / "classifier", "bert", "SequenceClassification", num_labels=4)
    small_checkpoint(folder / "embedder", "roberta", "")
    writing_checkpoint(folder / "decoder", "llama")
    small_media_checkpoint(folder / "pictures", "vit", "ImageClassification")
    (folder / "service.yaml").write_text(SERVICE, encoding="utf-8")
    return folder / "service.yaml"


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded here, which spares the start of a process for each."""
    monkeypatch.setattr(command, "in_own_process", parity_of)


def run(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["parity", str(config), *options])


def rows(result: Result) -> dict[str, list[str]]:
    """The words of the table's rows, by model."""
    lines = [line.split() for line in result.stdout.splitlines() if line.split(" ")[0] in NAMES]
    return {line[0]: line for line in lines}


@pytest.mark.usefixtures("in_this_process")
def test_models_that_answer_as_transformers(config: Path, tmp_path: Path) -> None:
    result = run(config, "--json", str(tmp_path / "parity.json"))
    assert result.exit_code == 0, result.output
    assert list(rows(result)) == list(NAMES)
    assert {row[-1] for row in rows(result).values()} == {"equal"}
    assert {row[-2] for row in rows(result).values()} == {"100.0%"}
    found = {each["model"]: each for each in json.loads((tmp_path / "parity.json").read_text(encoding="utf-8"))}
    assert found["embedder"]["architecture"] == "RobertaModel"
    for each in found.values():
        assert each["inputs"] >= 8
        assert list(each["runs"]) == list(RUNS)
        assert all(run["agreeing"] == each["inputs"] for run in each["runs"].values())
    assert all(run["difference"] < 1e-5 for run in found["classifier"]["runs"].values())
    assert found["decoder"]["runs"]["crowd"]["difference"] is None
    assert "decoder: 1 without a reference, first the river rose" in result.stderr


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("classifier", "alone: 2 of 2 inputs, first Paris is the capital: differs by "),
        ("decoder", "alone: 2 of 2 inputs, first Paris is the capital: "),
    ],
)
def test_a_model_that_answers_otherwise(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, message: str
) -> None:
    (tmp_path / "inputs.txt").write_text("Paris is the capital\n\nNever again.\n", encoding="utf-8")
    wrong = {key: replace(each, load=shifted(each.load)) for key, each in reference.REFERENCES.items()}
    monkeypatch.setattr(reference, "REFERENCES", wrong)
    result = run(config, "--models", model, "--inputs", str(tmp_path / "inputs.txt"))
    assert result.exit_code == 1
    assert rows(result)[model][-1] == "differs"
    assert f"{model}: {message}" in result.stderr


def shifted(load: Any) -> Any:
    """The reference with another score for each label, or another text."""

    def change(entry: Mapping[str, Any]) -> dict[str, Any]:
        changes = {"score": lambda score: score + 1.0, "generated_text": lambda text: text + "!"}
        return {name: changes.get(name, lambda value: value)(value) for name, value in entry.items()}

    return lambda source: (lambda answer: lambda inputs: [*map(change, answer(inputs))])(load(source))


@pytest.mark.usefixtures("in_this_process")
def test_a_fault_that_only_a_batch_shows(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, forward, by = Replica.load, TextClassification.forward, [0.0]

    def load_and_break(replica: Replica) -> None:
        load(replica)
        by[0] = 0.1  # after the check at load, which would find it

    def broken(task: Any, rows: Any, params: Any) -> list[Any]:
        shift = by[0] * (len(rows) > 1)
        return [logits + shift * np.arange(len(logits)) for logits in forward(task, rows, params)]

    monkeypatch.setattr(Replica, "load", load_and_break)
    monkeypatch.setattr(TextClassification, "forward", broken)
    result = run(config, "--models", "classifier")
    assert result.exit_code == 1
    assert "classifier: crowd: " in result.stderr


@pytest.mark.usefixtures("in_this_process")
def test_a_model_without_a_reference_is_not_passed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "REFERENCES", {})
    result = run(config, "--models", "classifier")
    assert "no reference" in result.stdout
    assert "classifier: no reference for AutoModelForSequenceClassification with text" in result.stderr


class Stub(BaseHTTPRequestHandler):
    """A service whose classifier says the same of every text."""

    keys: ClassVar[set[str | None]] = set()

    def do_GET(self) -> None:
        about = {"architecture": "BertForSequenceClassification", "dtype": "float32", "layout": "packed"}
        self.answer(about | {"max_length": 128, "device": "cpu"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        inputs = body["inputs"] if isinstance(body["inputs"], list) else [body["inputs"]]
        labels = [{"label": f"LABEL_{number}", "score": 0.25} for number in range(4)]
        self.answer([labels for _ in inputs])

    def answer(self, value: Any) -> None:
        self.keys.add(self.headers["authorization"])
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("in_this_process")
def test_a_running_service_that_answers_wrongly(config: Path, url: str) -> None:
    result = run(config, "--url", url, "--key", "secret", "--models", "classifier")
    assert result.exit_code == 1
    assert rows(result)["classifier"][-1] == "differs"
    assert "classifier: alone: 13 of 13 inputs, first Paris is the capital of France, and Berlin" in result.stderr
    assert Stub.keys == {"Bearer secret"}


def test_models_in_processes_of_their_own(config: Path, tmp_path: Path) -> None:
    (tmp_path / "inputs.txt").write_text(
        'Never again.\n{"text": "A text", "text_pair": "and more."}\n', encoding="utf-8"
    )
    result = run(config, "--models", "classifier", "--inputs", str(tmp_path / "inputs.txt"))
    assert result.exit_code == 0, result.output
    assert rows(result)["classifier"][4] == "2"


@pytest.mark.usefixtures("in_this_process")
def test_a_model_that_cannot_be_loaded_does_not_end_the_others(config: Path, tmp_path: Path) -> None:
    small_checkpoint(tmp_path / "broken", "bert", "SequenceClassification")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    models = ["{model: broken, name: broken}", f"{{model: {config.parent}/classifier, name: classifier}}"]
    (tmp_path / "service.yaml").write_text(f"models: [{', '.join(models)}]", encoding="utf-8")
    result = run(tmp_path / "service.yaml")
    assert result.exit_code == 1
    assert rows(result)["classifier"][-1] == "equal"
    assert "broken: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "clasifier"), "no model 'clasifier'; did you mean 'classifier'?"),
        (("--inputs", "nowhere.txt"), "--inputs: nowhere.txt cannot be read"),
        (("--url", "127.0.0.1", "--models", "classifier"), "classifier: no answer from"),
    ],
)
def test_wrong_options(config: Path, options: tuple[str, ...], message: str) -> None:
    result = run(config, *options)
    assert result.exit_code == 1
    assert message in result.stderr
