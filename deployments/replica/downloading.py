"""Progress of a download from the Hugging Face Hub, read from the size of the Hub's cache on disk."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 1.0


@contextmanager
def report_download(model: str, report: Callable[[str], None]) -> Iterator[None]:
    """Report the progress of the download of a Hub model inside the `with` block. Nothing for other models.

    Args:
        model: Hub id, folder or `embedded:NAME`.
        report: called from another thread with the progress so far, whenever it grows.
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
    """Bytes on disk, incomplete files included."""
    total = 0
    for path in folder.glob("blobs/*"):
        try:
            total += path.stat().st_size
        except OSError:  # complete, and so renamed in the meantime
            continue
    return total
