"""Which models `up` leaves out, and when that ends it."""

import pytest

from deployments.errors import LoadError
from serve.cli.up import Listening, Up
from serve.config.service import ServiceConfig

LISTENING = Listening("127.0.0.1", 8000)


def service(*models: str) -> ServiceConfig:
    return ServiceConfig(
        models=[{"model": model, "name": model.rpartition("/")[2].rpartition(":")[2]} for model in models]
    )  # type: ignore[misc]


@pytest.mark.parametrize(
    ("models", "strict", "message"),
    [
        (("./absent", "embedded:minilm"), True, "absent: ./absent: no such folder"),
        (("./absent", "./away"), False, "absent: ./absent: no such folder\naway: ./away: no such folder"),
        (("./absent",), False, "absent: ./absent: no such folder"),
    ],
)
def test_it_ends_if_no_model_is_left_or_every_model_is_wanted(
    monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...], strict: bool, message: str
) -> None:
    monkeypatch.setattr("serve.cli.up.build_embedded", lambda console, names: None)
    monkeypatch.setattr("serve.routes.require_servable", _require_folder)
    with pytest.raises(LoadError) as caught:
        Up(service(*models), LISTENING, strict=strict).run()
    assert str(caught.value) == message


def _require_folder(model: object) -> None:
    name = model.model  # type: ignore[attr-defined]
    if name.startswith("./"):
        raise LoadError(f"{name}: no such folder")
