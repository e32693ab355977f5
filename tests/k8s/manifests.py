"""The overlays of k8s/ as kustomize puts them together."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """A tool that the dev extra brings, beside this Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed; `make install` brings it")
    return found


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """Its manifests."""
    command = [tool("kubectl"), "kustomize", str(K8S / "overlays" / name)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return tuple(yaml.safe_load_all(ran.stdout))


def of_kind(name: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in overlay(name) if manifest["kind"] == kind]


def ray_service(name: str) -> Manifest:
    (manifest,) = of_kind(name, "RayService")
    return manifest


def pod_templates(name: str) -> dict[str, Manifest]:
    """The templates of all pods, with the labels that their controllers add."""
    cluster = ray_service(name)["spec"]["rayClusterConfig"]
    pods = {"head": _labelled(cluster["headGroupSpec"]["template"], {"ray.io/node-type": "head"})}
    for group in cluster["workerGroupSpecs"]:
        pods[group["groupName"]] = _labelled(group["template"], {"ray.io/node-type": "worker"})
    for manifest in overlay(name):
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            pods[manifest["metadata"]["name"]] = manifest["spec"]["template"]
    return pods


def _labelled(template: Manifest, labels: dict[str, str]) -> Manifest:
    metadata = template.get("metadata", {})
    return template | {"metadata": metadata | {"labels": metadata.get("labels", {}) | labels}}
