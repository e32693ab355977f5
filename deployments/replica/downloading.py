"""What a checkpoint's files bring in while they are fetched from the hub: seen in the hub's cache, whoever fetches."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 1.0


@contextmanager
def report_download(model: str, report: Callable[[str], None]) -> Iterator[None]:
    """Within it, `report` hears how much of a hub model has come, as often as it grows. Nothing for other models.

    Args:
        model: hub id, folder or `embedded:NAME`.
        tell: called from another thread.
    """
    folder = _cache_folder(model)
    if folder is None:
        yield
        return
    finished = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(folder, _size(folder), report, finished), name="download", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _watch(folder: Path, first: int, report: Callable[[str], None], finished: threading.Event) -> None:
    before = first
    while not finished.wait(POLL_S):
        now = _size(folder)
        if now > before:
            report(f"{(now - first) / 1e6:,.0f} MB so far")
        before = now


def _cache_folder(model: str) -> Path | None:
    from huggingface_hub import constants

    if ":" in model or model.count("/") > 1 or model.startswith((".", "/", "~")) or Path(model).is_dir():
        return None
    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def _size(folder: Path) -> int:
    """Bytes that are there, of files that are not complete as well."""
    total = 0
    for path in folder.glob("blobs/*"):
        try:
            total += path.stat().st_size
        except OSError:  # renamed in the meantime, as it is complete
            continue
    return total
