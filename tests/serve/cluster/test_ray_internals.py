"""The private names of Ray exist, and their signatures are the ones that are used; without starting Ray."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest
from ray.serve._private.client import ServeControllerClient

from serve.cluster import ray_internals
from serve.cluster.ray_internals import local_cluster_addresses

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
