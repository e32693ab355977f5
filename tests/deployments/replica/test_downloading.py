"""Progress of a download from the Hub, read from the Hub's cache."""

import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from deployments.replica import downloading
from deployments.replica.downloading import report_download
from tests.waiting import PATIENCE_S


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(downloading, "POLL_S", 0.01)
    return tmp_path


def test_progress_is_reported_as_it_grows(cache: Path) -> None:
    blobs = cache / "models--some--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "old").write_bytes(b"x" * 5_000_000)
    reports: SimpleQueue[str] = SimpleQueue()

    def wait_for(report: str) -> None:
        while reports.get(timeout=PATIENCE_S) != report:  # parts of a write may be reported before it
            pass

    with report_download("some/model", reports.put):
        (blobs / "abc.incomplete").write_bytes(b"x" * 2_000_000)
        wait_for("2 MB so far")
        (blobs / "abc.incomplete").write_bytes(b"x" * 4_000_000)
        wait_for("4 MB so far")
        (blobs / "abc.incomplete").rename(blobs / "abc")
    assert reports.empty()


@pytest.mark.parametrize("model", ["embedded:minilm", "/a/folder", "./here", "a/b/c"])
def test_other_models_are_not_watched(cache: Path, model: str) -> None:
    threads = threading.active_count()
    with report_download(model, lambda progress: None):
        assert threading.active_count() == threads


def test_a_model_in_the_cache_reports_nothing(cache: Path) -> None:
    reports: list[str] = []
    with report_download("some/model", reports.append):
        threading.Event().wait(0.1)
    assert not reports
