"""Who may import whom: the rooms of docs/architecture.md, read from the code itself.

A room is a folder below `deployments/` or `serve/`, or a file at their root. Imports inside functions and under
`TYPE_CHECKING` count like any other, except where a test says that it is about what runs at import.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Each line may import from the lines below it, and from nothing on its own line or above.
DEPLOYMENTS = (
    "replica registry",
    "tasks",
    "image audio",
    "text",
    "generation",
    "openvino",
    "layouts",
    "batching",
    "contract",
    "telemetry",
    "media checkpoints",
    "zoo",
    "config errors memory numerics asgi",
)
SERVE = (
    "cli",
    "apps",
    "gateway proxy",
    "model",
    "playground observability",
    "kubernetes",
    "applications",
    "apis",
    "upstream",
    "middleware",
    "cluster http",
    "routes",
    "config",
)
WIDEST = 20  # files of one folder

HEAVY = {"torch", "transformers", "openvino", "PIL"}
KNOWS_RAY = {
    "deployments/replica/deployment.py",
    "deployments/telemetry/ray_internals.py",
    "deployments/telemetry/ray_metrics.py",
    "serve/apps.py",
    "serve/cli/apply/serve_client.py",
    "serve/cli/up.py",
    "serve/cluster/launch.py",
    "serve/cluster/placement.py",
    "serve/cluster/ray_internals.py",
    "serve/gateway/app.py",
    "serve/upstream/serve_handle.py",
}
# Compiled by TorchScript, which looks for names at the head of a file.
NEED_TORCH = ("deployments/layouts/attention.py",)
FILES = sorted(
    path.relative_to(ROOT).as_posix() for package in ("deployments", "serve") for path in (ROOT / package).rglob("*.py")
)


@cache
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


def modules() -> dict[str, str]:
    """Every module's name, and its file."""
    return {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in FILES}


@cache
def imports() -> dict[str, set[str]]:
    """Every module's name, and the modules of this project that it imports anywhere."""
    known, found = modules(), defaultdict(set)
    for module, file in known.items():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Import):
                found[module].update(alias.name for alias in node.names if alias.name in known)
            elif isinstance(node, ast.ImportFrom) and node.module in known:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found[module].update(name if name in known else node.module for name in names)
    return found


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def ranks() -> dict[str, int]:
    """Every room's place from above."""
    houses = (("deployments", DEPLOYMENTS), ("serve", SERVE))
    return {
        f"{house}.{name}": rank for house, lines in houses for rank, line in enumerate(lines) for name in line.split()
    }


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules in or between circles: those that are left when ends and beginnings are taken away again and again."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while True:
        imported_by_some = set().union(*left.values())
        ends = [name for name in left if not left[name] & left.keys() or name not in imported_by_some]
        if not ends:
            break
        for name in ends:
            del left[name]
    return sorted([name, *sorted(targets & left.keys())] for name, targets in left.items())


def test_every_room_is_in_the_order() -> None:
    """A new folder or a file at a root wants a place in the house."""
    found = {room(module) for module in modules() if "." in module}
    assert found == set(ranks())


def test_arrows_between_rooms_only_point_down() -> None:
    rank = ranks()
    wrong = [
        f"{module} -> {target}"
        for module, targets in imports().items()
        for target in targets
        if "." in module and "." in target and module.split(".")[0] == target.split(".")[0]
        if room(module) != room(target) and rank[room(module)] >= rank[room(target)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circles(imports())


def test_no_folder_is_wider_than_a_screen() -> None:
    width: dict[str, int] = defaultdict(int)
    for file in FILES:
        if not file.endswith("__init__.py"):
            width[file.rpartition("/")[0]] += 1
    assert {folder: count for folder, count in width.items() if count > WIDEST} == {}


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"], ["c", "b"]]


def packages(file: str) -> set[str]:
    """Packages that a file imports anywhere."""
    return set().union(*(imported(node) for node in ast.walk(tree(file))))


def test_nothing_is_imported_relatively() -> None:
    """Relative imports hide who imports whom."""
    assert [file for file in FILES if "." in packages(file)] == []


def test_the_model_side_knows_nothing_of_the_http_side() -> None:
    assert [file for file in FILES if file.startswith("deployments/") and "serve" in packages(file)] == []


def test_only_named_files_know_ray() -> None:
    assert [file for file in FILES if file not in KNOWS_RAY and "ray" in packages(file)] == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    at_once = {file: set().union(*(imported(node) for node in at_import(tree(file)))) for file in FILES}
    wrong = {file: found & HEAVY for file, found in at_once.items() if found & HEAVY}
    assert [file for file in wrong if not file.startswith(NEED_TORCH)] == []


def test_importing_loads_neither_torch_nor_transformers_nor_pictures():
    """The gateway's process stays at some 40 MB: no library that it imports may bring them in either."""
    modules = [
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in FILES
        if not file.startswith(NEED_TORCH)
    ]
    assert {"deployments.registry", "deployments.tasks.fill_mask", "deployments.replica.replica", "serve"} <= set(
        modules
    )
    assert not loaded_after(modules) & HEAVY


def test_the_model_side_runs_without_ray():
    assert "ray" not in loaded_after(["deployments.registry", "deployments.replica.replica"])


def loaded_after(names: list[str]) -> set[str]:
    """Top-level packages in a fresh interpreter after importing these modules."""
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {name.split(".")[0] for name in ran.stdout.split()}
