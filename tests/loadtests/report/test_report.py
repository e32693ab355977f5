"""The report of a recorded load: one page that needs nothing else, tables, and pictures."""

import csv
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests.plan import Plan
from loadtests.report import slo
from loadtests.report.figures import stretches
from loadtests.report.outcome import Outcome
from loadtests.report.write import write
from tests.loadtests.recorded_load import PLAN, figures, records

PICTURES = {"latency", "throughput", "time-share", "models", "over-time"}


class Page(HTMLParser):
    """What stands in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.refers += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        self.refers += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attrs))


def outcome_of(plan: Plan = PLAN) -> Outcome:
    held = slo.Objectives.model_validate({"up_to_rate": 4, "callers": {"media": {"p99_s": 0.1}}})
    return Outcome(plan, held, figures(plan), records(plan), "a service: <minilm>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(outcome_of(), folder, folder / "pictures")
    return folder


def test_the_page_needs_nothing_else(folder: Path) -> None:
    page = Page((folder / "report.html").read_text())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags["svg"] == len(PICTURES)
    assert set(page.ids) >= PICTURES
    assert all(each.startswith("#") for each in page.refers)
    assert {each[1:] for each in page.refers} <= set(page.ids)
    assert [each for each, count in Counter(page.ids).items() if count > 1] == []


def test_the_plots_are_whole_svg_as_wide_as_the_page(folder: Path) -> None:
    for svg in re.findall(r"<svg.*?</svg>", (folder / "report.html").read_text(), re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert "viewBox" in root.attrib
        assert not {"width", "height"} & set(root.attrib)


def test_the_page_says_what_was_broken_and_escapes_names(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "2 of 12 objectives broken" in text
    assert "4/s, media: p99, s" in text
    assert "&lt;minilm&gt;" in text
    assert "<minilm>" not in text
    assert " cores, " in text


def test_tables_have_every_window_caller_and_model(folder: Path) -> None:
    callers = list(csv.DictReader((folder / "callers.csv").read_text().splitlines()))
    assert Counter(row["window"] for row in callers) == {"2/s": 6, "4/s": 6, "8/s": 6}
    assert all(float(row["p50_s"]) > 0 for row in callers)
    assert {row["caller"] for row in callers if row["first_token_p99_s"]} == {"all callers", "chat stream"}
    models = list(csv.DictReader((folder / "models.csv").read_text().splitlines()))
    assert [row["mean_batch_rows"] for row in models] == ["1", "1", "2", "2", "3", "3"]


def test_pictures_are_written(folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}
    assert set(files) == {f"loadtest-{name}.png" for name in PICTURES}
    assert all(content.startswith(b"\x89PNG") for content in files.values())


@pytest.mark.parametrize(
    "plan", [Plan(shape="spike", rates=(2,), peak=8, seconds=5), Plan(shape="soak", rates=(2,), seconds=30)]
)
def test_other_shapes_have_reports_too(tmp_path: Path, plan: Plan) -> None:
    page = Page(write(outcome_of(plan), tmp_path).read_text())
    assert page.tags["svg"] == len(PICTURES)


def test_without_metrics_and_without_answers_there_is_a_report(tmp_path: Path) -> None:
    held = slo.Objectives(up_to_rate=4)
    for record in (mute := records()):
        record.outcome = "503"
    outcome = Outcome(PLAN, held, stretches(PLAN, mute, []), mute, "a service")
    page = Page(write(outcome, tmp_path).read_text())
    assert page.tags["svg"] == len(PICTURES) - 2
    assert outcome.broken
