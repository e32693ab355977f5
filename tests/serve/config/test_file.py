"""A bad configuration is refused with the file, the line and the nearest valid key."""

from pathlib import Path

import pytest

from serve.config.file import ConfigError, read_config_file


def write(folder: Path, text: str) -> Path:
    path = folder / "service.yaml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config_file(write(folder, text))
    return str(caught.value)


def test_everything_has_a_default_but_the_model(tmp_path: Path) -> None:
    config = read_config_file(write(tmp_path, "models:\n  - model: org/some-model\n"))
    assert config.models[0].name == "some-model"
    assert config.limits.max_waiting == 512
    assert config.models[0].resources.cpu_threads is None


def test_a_folder_is_taken_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    config = read_config_file(write(tmp_path, "models:\n  - model: weights\n"))
    assert config.models[0].model == str(tmp_path / "weights")


def test_an_unknown_key_names_its_line_and_the_nearest(tmp_path: Path) -> None:
    message = refused(tmp_path, "models:\n  - model: a\n    batching:\n      max_row: 4\n")
    assert message == f"{tmp_path}/service.yaml:4: unknown key `models.0.batching.max_row`; did you mean `max_rows`?"


def test_an_unknown_key_at_the_top(tmp_path: Path) -> None:
    assert ":3: unknown key `limit`; did you mean `limits`?" in refused(tmp_path, "models:\n  - model: a\nlimit: {}\n")


def test_every_problem_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, "models:\n  - name: a\n  - model: b\n    device: tpu\nlimits:\n  max_waiting: 0\n")
    assert ":2: `models.0.model`: field required" in message
    assert ":4: `models.1.device`: input should be 'auto', 'cpu' or 'cuda'" in message
    assert ":6: `limits.max_waiting`: input should be greater than or equal to 1" in message


def test_two_models_of_one_name(tmp_path: Path) -> None:
    message = refused(tmp_path, "models:\n  - model: a/x\n  - model: b/x\n")
    assert "duplicate model names: x" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: [", ":1: not YAML"),
        ("models:\n\t- a", ":2: not YAML"),
        ("- a", "a configuration is a mapping"),
        ("models: []", "`models`: list should have at least 1 item"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config_file(tmp_path / "absent.yaml")


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_LIMITS__MAX_WAITING", "7")
    config = read_config_file(write(tmp_path, "models:\n  - model: a\nlimits:\n  max_waiting: 9\n  max_body_mb: 3\n"))
    assert (config.limits.max_waiting, config.limits.max_body_mb) == (7, 3)
