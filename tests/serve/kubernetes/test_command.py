"""`automodel-serve render k8s`, as it is called."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli.main import app

MODEL = "models:\n  - {model: 'embedded:minilm', task: feature-extraction}\n"
VOLUME = "models:\n  - {model: /models/chat, task: text-generation}\n"


def render(folder: Path, text: str, *options: str) -> Any:
    (folder / "service.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["render", "k8s", str(folder / "service.yaml"), *options])


def pod(folder: Path, text: str, *options: str) -> Any:
    ran = render(folder, text, *options)
    assert ran.exit_code == 0, ran.output
    cluster = yaml.safe_load(ran.stdout)["spec"]["rayClusterConfig"]
    return cluster["workerGroupSpecs"][0]["template"]["spec"]


def test_options_are_heeded(tmp_path: Path) -> None:
    options = ["--name", "mine", "--image", "registry/mine:1", "--worker-cpus", "2", "--worker-memory", "6"]
    spec = pod(tmp_path, VOLUME, *options)
    container = spec["containers"][0]
    assert container["image"] == "registry/mine:1"
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "6Gi"}, "limits": {"memory": "6Gi"}}
    assert spec["volumes"][2]["persistentVolumeClaim"]["claimName"] == "mine-models"


def test_only_what_is_needed_is_mounted(tmp_path: Path) -> None:
    assert [volume["name"] for volume in pod(tmp_path, MODEL)["volumes"]] == ["tmp", "shared-memory"]
    with_keys = pod(tmp_path, MODEL + "auth: {api_keys_file: my-keys.yaml}\n")
    assert [volume["name"] for volume in with_keys["volumes"]][2:] == ["keys"]
    assert pod(tmp_path, VOLUME)["containers"][0]["volumeMounts"][2] == {"name": "models", "mountPath": "/models"}


def test_the_keys_have_their_place_in_a_pod(tmp_path: Path) -> None:
    ran = render(tmp_path, MODEL + "auth: {api_keys_file: my-keys.yaml}\n")
    config = yaml.safe_load(yaml.safe_load(ran.stdout)["spec"]["serveConfigV2"])
    places = {
        config["applications"][0]["args"]["auth"]["api_keys_file"],
        config["applications"][1]["args"]["options"]["auth"]["api_keys_file"],
    }
    assert places == {"/etc/automodel-serve/keys/keys.yaml"}


@pytest.mark.parametrize(("placement", "value"), [("pack", "1"), ("spread", None)])
def test_nodes_are_told_how_replicas_are_placed(tmp_path: Path, placement: str, value: str | None) -> None:
    (container,) = pod(tmp_path, MODEL + f"placement: {placement}\n")["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables.get("RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY") == value


def test_only_what_serve_takes(tmp_path: Path) -> None:
    config = yaml.safe_load(render(tmp_path, MODEL, "--serve-config").stdout)
    assert [app["name"] for app in config["applications"]] == ["gateway", "minilm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models:\n  - {model: 'embedded:minilm', devise: cpu}\n", "service.yaml:2: unknown key"),
        ("models:\n  - {model: /somewhere/else, task: fill-mask}\n", "below /models, not /somewhere/else"),
        ("models:\n  - {model: /models/chat}\n", "/models/chat"),
        (MODEL + "grpc: {port: 9000}\n", "grpc.port"),
        ("models:\n  - {model: a/b, task: fill-mask, resources: {num_cpus: 9}}\n", "requests 9 CPU"),
    ],
)
def test_what_cannot_be_rendered(tmp_path: Path, text: str, message: str) -> None:
    ran = render(tmp_path, text)
    assert ran.exit_code == 1
    assert message in ran.stderr
    assert ran.stdout == ""
