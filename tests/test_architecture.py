"""Who may import whom. The rules of docs/architecture.md, read from the code itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "PIL"}
KNOWS_RAY = {
    "deployments/deployment.py",
    "deployments/ray_metrics.py",
    "deployments/stages.py",
    "serve/apps.py",
    "serve/changing/on_serve.py",
    "serve/cli.py",
    "serve/gateway.py",
    "serve/launch.py",
    "serve/placement.py",
    "serve/states.py",
    "serve/upstream.py",
}
# Compiled by TorchScript, which looks for names at the head of a file.
NEED_TORCH = ("deployments/attention.py",)
FILES = sorted(
    path.relative_to(ROOT).as_posix() for package in ("deployments", "serve") for path in (ROOT / package).rglob("*.py")
)

every_file = pytest.mark.parametrize("file", FILES)


def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported(node: ast.AST) -> set[str]:
    """Packages that one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {"." if node.level else str(node.module).split(".")[0]}
    return set()


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported: not in functions, not under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from at_import(child)


@every_file
def test_the_model_side_knows_nothing_of_the_http_side(file):
    packages = set().union(*(imported(node) for node in ast.walk(tree(file))))
    assert "." not in packages, "relative imports hide who imports whom"
    if file.startswith("deployments/"):
        assert "serve" not in packages


@every_file
def test_only_named_files_know_ray(file):
    packages = set().union(*(imported(node) for node in ast.walk(tree(file))))
    assert file in KNOWS_RAY or "ray" not in packages


@every_file
def test_heavy_libraries_are_imported_where_they_are_used(file):
    if not file.startswith(NEED_TORCH):
        packages = set().union(*(imported(node) for node in at_import(tree(file))))
        assert not packages & HEAVY


def test_importing_loads_neither_torch_nor_transformers_nor_pictures():
    """The gateway's process stays at some 40 MB: no library that it imports may bring them in either."""
    modules = [
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in FILES
        if not file.startswith(NEED_TORCH)
    ]
    assert {"deployments.registry", "deployments.tasks.fill_mask", "deployments.replica", "serve"} <= set(modules)
    assert not loaded_after(modules) & HEAVY


def test_the_model_side_runs_without_ray():
    modules = ["deployments.registry", "deployments.replica"]
    assert "ray" not in loaded_after(modules)


def loaded_after(modules: list[str]) -> set[str]:
    """Top-level packages in a fresh interpreter after importing these modules."""
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {name.split(".")[0] for name in ran.stdout.split()}
