"""Puts the outcome of a load test into files."""

from pathlib import Path

from loadtests.report.csv_tables import write_tables
from loadtests.report.html_report import html_of
from loadtests.report.outcome import Outcome
from loadtests.report.plots.captioned import pictures
from loadtests.report.plots.style import as_png

REPORT = "report.html"


def write(outcome: Outcome, folder: Path, pictures_folder: Path | None = None) -> Path:
    """Report and tables; plots as PNG files as well where there is a folder for them. Returns the report's path."""
    made = pictures(outcome.plan, outcome.stretches, outcome.records, outcome.objectives)
    write_tables(outcome.stretches, folder)
    path = folder / REPORT
    path.write_text(html_of(outcome, made))
    if pictures_folder is not None:
        pictures_folder.mkdir(parents=True, exist_ok=True)
        for picture in made:
            as_png(picture.figure, pictures_folder / f"loadtest-{picture.name}.png")
    return path
