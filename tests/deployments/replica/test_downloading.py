"""How much of a hub model has come, by what lies in the hub's cache."""

import threading
from pathlib import Path

import pytest

from deployments.replica import downloading
from deployments.replica.downloading import report_download


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(downloading, "POLL_S", 0.01)
    return tmp_path


def test_what_comes_is_told(cache: Path) -> None:
    blobs = cache / "models--some--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "old").write_bytes(b"x" * 5_000_000)
    told: list[str] = []
    heard = threading.Event()

    def tell(progress: str) -> None:
        told.append(progress)
        heard.set()

    with report_download("some/model", tell):
        (blobs / "abc.incomplete").write_bytes(b"x" * 2_000_000)
        assert heard.wait(10)
        heard.clear()
        (blobs / "abc.incomplete").write_bytes(b"x" * 4_000_000)
        assert heard.wait(10)
        (blobs / "abc.incomplete").rename(blobs / "abc")
    assert told[-1] == "4 MB so far"
    assert set(told) <= {"0 MB so far", "1 MB so far", "2 MB so far", "3 MB so far", "4 MB so far"}


@pytest.mark.parametrize("model", ["embedded:minilm", "/a/folder", "./here", "a/b/c"])
def test_other_models_are_not_watched(cache: Path, model: str) -> None:
    threads = threading.active_count()
    with report_download(model, lambda progress: None):
        assert threading.active_count() == threads


def test_a_model_that_was_there_says_nothing(cache: Path) -> None:
    told: list[str] = []
    with report_download("some/model", told.append):
        threading.Event().wait(0.1)
    assert not told
