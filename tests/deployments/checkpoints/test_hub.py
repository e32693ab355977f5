"""The hub's cache: without network what it has is loaded at once, and with a hub each file is asked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from deployments.checkpoints import hub
from deployments.checkpoints.files import find_file
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.registry import task_of
from tests.checkpoints import small_checkpoint


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    caches = (hub.is_reachable, hub.find_hub_file)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of org/tiny in a cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    return small_checkpoint(repository / "snapshots/abc", "bert", "SequenceClassification")


class Session:
    """The hub's HTTP client: counts requests, and answers or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.requests, self._error = 0, error

    def head(self, url: str, *, timeout: float) -> None:
        self.requests += 1
        if self._error is not None:
            raise self._error


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    def install(error: Exception | None = None) -> Session:
        session = Session(error)
        monkeypatch.setattr("huggingface_hub.get_session", lambda: session)
        return session

    return install


@pytest.mark.parametrize("offline", [False, True])
def test_a_cached_model_loads_without_network(
    snapshot: Path, session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """The hub's own client is not called: it would try to connect again for half a minute."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    for name in ("hf_hub_download", "file_download.get_hf_file_metadata"):
        monkeypatch.setattr(f"huggingface_hub.{name}", lambda *_, **__: pytest.fail("asks the hub"))
    client = session(OSError("no network"))
    config = ModelConfig(model="org/tiny", name="tiny")
    kind = task_of(config)
    loaded = kind.load_checkpoint(config)
    assert (kind.name, loaded.folder) == ("text-classification", snapshot)
    assert client.requests == (0 if offline else 1)
    assert find_file("org/tiny", "modules.json") is None
    with pytest.raises(
        LoadError, match="org/other: not a local folder, not in the cache, and the hub cannot be reached"
    ):
        find_file("org/other", "config.json")


def test_with_a_hub_each_file_is_asked_for(
    session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    found: dict[str, Any] = {
        "config.json": tmp_path / "config.json",
        "modules.json": EntryNotFoundError("no such file"),
        "tokenizer.json": LocalEntryNotFoundError("the network went away"),
        "model.safetensors": OSError("401: the repository is gated\nmore"),
    }

    def download(model: str, name: str, revision: str | None) -> str:
        assert (model, revision) == ("org/tiny", "v1")
        if isinstance(found[name], Exception):
            raise found[name]
        return str(found[name])

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert hub.source("org/tiny", "v1") == "org/tiny"
    assert hub.find_hub_file("org/tiny", "config.json", "v1") == tmp_path / "config.json"
    assert hub.find_hub_file("org/tiny", "modules.json", "v1") is None
    with pytest.raises(LoadError, match=r"org/tiny: tokenizer.json cannot be downloaded"):
        hub.find_hub_file("org/tiny", "tokenizer.json", "v1")
    with pytest.raises(LoadError, match=r"org/tiny: download from the hub failed \(401: the repository is gated\)"):
        hub.find_hub_file("org/tiny", "model.safetensors", "v1")
