"""The Hugging Face Hub and its cache.

Where the hub cannot be reached, what the cache has is loaded at once; the hub's own client would try to reach it again
for each file, for minutes in all.
"""

from functools import cache
from pathlib import Path

from deployments.errors import LoadError

PROBE_TIMEOUT_S = 3.0


@cache
def is_reachable() -> bool:
    """Whether the hub answers, asked once in a process. False with `HF_HUB_OFFLINE`."""
    from huggingface_hub import constants, get_session, is_offline_mode

    if is_offline_mode():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_S)
    except Exception:  # of the HTTP client, which differs between releases
        return False
    return True


def snapshot(model: str, revision: str | None = None) -> Path | None:
    """The folder of a model in the cache; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def source(model: str, revision: str | None = None) -> str:
    """The argument for `from_pretrained`: the model, or its folder in the cache if the hub cannot be reached."""
    folder = None if is_reachable() else snapshot(model, revision)
    return model if folder is None else str(folder)


@cache
def find_hub_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a model, downloaded if need be; None if the model lacks it. Asked once in a process.

    Raises:
        LoadError: the hub cannot be reached and the model is not in the cache, or the download fails.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not is_reachable():
        folder = snapshot(model, revision)
        if folder is None:
            raise LoadError(f"{model}: not a local folder, not in the cache, and the hub cannot be reached")
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except LocalEntryNotFoundError as error:
        raise LoadError(f"{model}: {name} cannot be downloaded, and the hub has ceased to answer") from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise LoadError(f"{model}: download from the hub failed ({str(error).splitlines()[0]})") from error
