"""The output of a load test: a self-contained page, CSV tables, and plots."""

import csv
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests.plan import Plan
from loadtests.report import slo
from loadtests.report.output import write
from loadtests.report.result import LoadTestResult
from loadtests.report.windows import window_results
from tests.loadtests.recorded_load import PLAN, records, results

PLOTS = {"latency", "throughput", "time-share", "models", "over-time"}


class Page(HTMLParser):
    """The tags, ids and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.references += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attrs))


def result_of(plan: Plan = PLAN) -> LoadTestResult:
    objectives = slo.Objectives.model_validate({"up_to_rate": 4, "callers": {"media": {"p99_s": 0.1}}})
    return LoadTestResult(plan, objectives, results(plan), records(plan), "a service: <minilm>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(result_of(), folder, folder / "plots")
    return folder


def test_the_page_is_self_contained(folder: Path) -> None:
    page = Page((folder / "report.html").read_text())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags["svg"] == len(PLOTS)
    assert set(page.ids) >= PLOTS
    assert all(each.startswith("#") for each in page.references)
    assert {each[1:] for each in page.references} <= set(page.ids)
    assert [each for each, count in Counter(page.ids).items() if count > 1] == []


def test_the_plots_are_whole_svg_as_wide_as_the_page(folder: Path) -> None:
    for svg in re.findall(r"<svg.*?</svg>", (folder / "report.html").read_text(), re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert "viewBox" in root.attrib
        assert not {"width", "height"} & set(root.attrib)


def test_the_page_has_the_missed_objectives_and_escapes_names(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "2 of 12 objectives missed" in text
    assert "4/s, media: p99 latency, s" in text
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


def test_plots_are_written(folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in (folder / "plots").iterdir()}
    assert set(files) == {f"loadtest-{name}.png" for name in PLOTS}
    assert all(content.startswith(b"\x89PNG") for content in files.values())


@pytest.mark.parametrize(
    "plan", [Plan(shape="spike", rates=(2,), peak=8, seconds=5), Plan(shape="soak", rates=(2,), seconds=30)]
)
def test_other_shapes_have_reports_too(tmp_path: Path, plan: Plan) -> None:
    page = Page(write(result_of(plan), tmp_path).read_text())
    assert page.tags["svg"] == len(PLOTS)


def test_without_metrics_and_without_answers_there_is_a_report(tmp_path: Path) -> None:
    objectives = slo.Objectives(up_to_rate=4)
    for record in (mute := records()):
        record.outcome = "503"
    result = LoadTestResult(PLAN, objectives, window_results(PLAN, mute, []), mute, "a service")
    page = Page(write(result, tmp_path).read_text())
    assert page.tags["svg"] == len(PLOTS) - 2
    assert result.missed
