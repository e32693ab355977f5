"""The documentation matches the code: links, tasks, errors, headers, configuration keys, the example of a new task."""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from deployments.errors import ServiceError
from deployments.registry import ALIASES, TASKS
from serve.apis.client_request import HEADER
from serve.cluster.haproxy import ANSWERS as HAPROXY_ANSWERS
from serve.config.file import ConfigError, _section, read_config_file
from serve.config.service import ServiceConfig
from serve.gateway.openapi import _HEADERS
from tests import checkpoints
from tests.service.test_examples import EXAMPLES

ROOT = Path(__file__).parents[1]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TASKS_PAGE = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
CLIENTS = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
HTTP = (ROOT / "docs/http.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language, also those inside a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def rows(text: str) -> list[list[str]]:
    """The cells of every line of every table, headings included."""
    lines = [line[1:-1].split("|") for line in text.splitlines() if line[:1] == "|" and not line.startswith("|---")]
    return [[cell.strip() for cell in line] for line in lines]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    assert len(README.splitlines()) <= 250
    assert [line.split("  ")[0].rstrip() for line in blocks(README, "bash")[0].splitlines()] == [
        "make serve",
        "make test",
    ]
    assert README.index("make serve") < README.index("\n## ")


def test_every_task_is_in_the_table_and_has_an_example() -> None:
    table = {}
    for row in rows(section(README, "Tasks")):
        if linked := re.fullmatch(r"\[([\w-]+)\]\(docs/tasks\.md#\1\)", row[0]):
            table[linked[1]] = row[1].strip("`")
    assert table == {name: task.auto_model for name, task in TASKS.items()}
    shown = {example.path.removeprefix("/tasks/") for example in EXAMPLES["tasks.md"]}
    assert set(TASKS) <= shown
    assert all(f"`{alias}`" in HTTP + CLIENTS for alias in ALIASES)


def test_every_field_of_a_request_is_named() -> None:
    common = section(TASKS_PAGE, "Generation parameters")
    for name, task in TASKS.items():
        part = section(TASKS_PAGE, name)
        if "#generation-parameters" in part:
            part += common
        fields = task.request.model_fields
        parameters = _section(fields["parameters"].annotation) if "parameters" in fields else None
        for field in (
            parameters.model_fields if parameters else fields.keys() - {"inputs", "partial", "options"}
        ):  # the same in all
            assert f"`{field}`" in part, f"{name}: {field}"


def test_every_error_is_in_the_table() -> None:
    table = {
        (int(row[0]), error_type)
        for row in rows(section(HTTP, "Errors"))
        if row[0].isdecimal()
        for error_type in re.findall(r"`(\w+)`", row[1])
    }
    ours = {(error.status, error.error_type) for error in [ServiceError, *subclasses(ServiceError)]}
    assert table == ours | {(status, error.error_type) for status, error in HAPROXY_ANSWERS.items()}


def subclasses(of: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for error in of.__subclasses__():
        yield error
        yield from subclasses(error)


def test_every_header_is_in_the_table() -> None:
    """Those of the tasks' own routes, and the one that only other services' routes have."""
    documented = {row[0].strip("`") for row in rows(section(HTTP, "Headers"))} - {"header"}
    assert documented == set(_HEADERS) | {HEADER.decode()}


def test_the_configuration_page_begins_with_every_section() -> None:
    introduction = CONFIGURATION.split("```")[0]
    assert set(ServiceConfig.model_fields) <= set(re.findall(r"`(\w+)`", introduction))


def test_every_configuration_key_is_there_with_its_default() -> None:
    documented = {row[0].strip("`"): row[2].strip("`") for row in rows(CONFIGURATION) if len(row) == 4}
    documented.pop("key")
    assert documented == {key.removeprefix("models."): default for key, default in keys(ServiceConfig)}


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a section of the configuration with its default as the page writes it."""
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        default: Any = field.default
        if field.is_required():
            written = "required"
        elif isinstance(default, BaseModel):
            written = ""
        else:
            written = {"None": "null", "False": "false", "True": "true", "()": "[]", "": "from `model"}.get(
                str(default), str(default)
            )
        yield prefix + name, written
        if inner is not None:
            yield from keys(inner, f"{prefix}{name}.")


@pytest.mark.parametrize("text", [*blocks(README, "yaml"), blocks(CONFIGURATION, "yaml")[0]])
def test_example_configurations_are_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(text, encoding="utf-8")
    assert len(read_config_file(file).models) > 1


def test_a_wrong_configuration_is_refused_in_the_words_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("service.yaml").write_text(blocks(CONFIGURATION, "yaml")[1], encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_config_file(Path("service.yaml"))
    assert f"error: {refused.value}\n" == blocks(CONFIGURATION, "text")[0]


def test_the_task_in_contributing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, test = blocks(CONTRIBUTING, "python")
    module = ModuleType("next_sentence_prediction")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    import torch

    names = {"torch": torch, "pytest": pytest, **vars(checkpoints), **vars(module)}
    exec(test, names)
    names["test_the_score_is_the_models_own"](tmp_path)
