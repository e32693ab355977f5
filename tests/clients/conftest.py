"""One real service for the clients of foreign protocols: chat, encoder-decoder, vectors, speech, classes, a ranker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import RunningService


@pytest.fixture(scope="package")  # it ends before other tests begin
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    from tests.captioning_checkpoints import captioning_checkpoint
    from tests.checkpoints import small_checkpoint
    from tests.nli_checkpoint import nli_checkpoint
    from tests.writing_checkpoints import writing_checkpoint  # they import torch, which matrix.py can do without

    root: Path = tmp_path_factory.mktemp("clients")
    models = [writing_checkpoint(root / "llama", "llama", chat=True), writing_checkpoint(root / "t5", "t5")]
    models.append(small_checkpoint(root / "ranker", "bert", "SequenceClassification", num_labels=1))
    models = [*map(str, models), "embedded:minilm", "embedded:spoken-digits-ctc", "embedded:prompt-injection"]
    models += [str(nli_checkpoint(root / "nli")), str(captioning_checkpoint(root / "llava", "llava"))]
    arguments = [part for model in models for part in ("--model", model)]
    with RunningService(*arguments, log=root / "service.log") as running:
        yield running
