"""The private names of Ray exist, and their signatures are the ones that are used; without starting Ray."""

import ast
import inspect
import logging
from importlib import import_module
from pathlib import Path

import pytest
from ray import serve
from ray.serve._private.client import ServeControllerClient

from serve.cluster import ray_internals
from serve.cluster.ray_internals import check_version, local_cluster_addresses, with_version

NAMES = [
    (node.module, alias.name)
    for node in ast.walk(ast.parse(Path(ray_internals.__file__).read_text(encoding="utf-8")))
    if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("ray.")
    for alias in node.names
]


def test_names_are_found_in_the_module() -> None:
    assert ("ray.serve.context", "_get_global_client") in NAMES


@pytest.mark.parametrize(("module", "name"), sorted(set(NAMES)))
def test_private_names_exist(module: str, name: str) -> None:
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("get_serve_details", ()),
        ("get_deployment_info", ("name", "app_name")),
        ("delete_apps", ("names", "blocking")),
    ],
)
def test_the_client_of_the_controller_has_the_methods(method: str, parameters: tuple[str, ...]) -> None:
    assert tuple(inspect.signature(getattr(ServeControllerClient, method)).parameters)[1:] == parameters


def test_addresses_of_local_clusters_are_a_list() -> None:
    assert isinstance(local_cluster_addresses(), list)


def test_a_deployment_keeps_a_version_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    @serve.deployment
    class Model:
        """Any deployment."""

    assert with_version(Model, "ours").version == "ours"
    assert not caplog.records


@pytest.mark.parametrize(("version", "warnings"), [("2.60.0", 0), ("2.60", 0), ("2.61.0", 1), ("2.6.0", 1)])
def test_another_version_of_ray_is_warned_of(version: str, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="serve.cluster.ray_internals"):
        check_version(version)
    assert len(caplog.records) == warnings
    assert all("tested with Ray 2.60" in record.getMessage() for record in caplog.records)
