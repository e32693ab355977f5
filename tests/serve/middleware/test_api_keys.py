"""The file of API keys: what is right, what is not, and that a change is heard of."""

from pathlib import Path

import pytest

from deployments.errors import LoadError
from serve.middleware import api_keys
from serve.middleware.api_keys import Key, KeyRing, RateLimiter, digest, entry_of, new_key, read_keys


def write(path: Path, *entries: str) -> Path:
    path.write_text("keys:\n" + "\n".join(entries) + "\n", encoding="utf-8")
    return path


def test_an_entry_as_it_is_printed_is_read_again(tmp_path: Path) -> None:
    key = new_key()
    file = write(tmp_path / "keys.yaml", entry_of("a: strange #name", key))
    assert read_keys(file) == (Key(name="a: strange #name", sha256=digest(key)),)
    assert key not in file.read_text()
    assert len({new_key() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keys: [", ":1: not YAML"),
        ("keys:\n  - {name: a, sha256: secret}", "keys.0.sha256"),
        ("keys:\n  - {name: a, sha256: " + "a" * 64 + ", model: b}", "keys.0.model: Extra inputs"),
        ("keys:\n" + 2 * ("  - {name: a, sha256: " + "a" * 64 + "}\n"), "duplicate key names: a"),
        ("", "file: "),
    ],
)
def test_a_wrong_file_says_where_and_not_what(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(LoadError) as caught:
        read_keys(tmp_path / "keys.yaml")
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be read"):
        KeyRing(tmp_path / "nothing")


def test_a_change_is_heard_of_and_a_mistake_leaves_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "RELOAD_S", 0.0)
    first, second = new_key(), new_key()
    file = write(tmp_path / "keys.yaml", entry_of("first", first))
    ring = KeyRing(file)
    assert ring.find(first).name == "first"
    assert ring.find(second) is None
    write(file, entry_of("second", second), "")
    assert (ring.find(first), ring.find(second).name) == (None, "second")
    file.write_text("keys: [")
    assert ring.find(second).name == "second"
    file.unlink()
    assert ring.find(second).name == "second"


def test_a_rate_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: now)
    rate, key = RateLimiter(), Key(name="a", sha256="a" * 64, requests_per_minute=6)
    assert [rate.wait(key) for _ in range(6)] == [0] * 6
    assert rate.wait(key) == pytest.approx(10)
    assert rate.wait(Key(name="b", sha256="a" * 64, requests_per_minute=6)) == 0, "each key has its own"
    now += 9
    assert rate.wait(key) == pytest.approx(1)
    now += 1
    assert rate.wait(key) == 0
    assert rate.wait(Key(name="c", sha256="a" * 64)) == 0
