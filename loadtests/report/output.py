"""Writes the result of a load test to files and to the terminal."""

from pathlib import Path

from rich.console import Console

from loadtests.report.csv_tables import write_tables
from loadtests.report.html_report import html_report
from loadtests.report.plots.all_plots import all_plots
from loadtests.report.plots.style import as_png
from loadtests.report.result import LoadTestResult
from loadtests.report.table import TableReport
from loadtests.report.windows import ALL, PERCENTILES

REPORT = "report.html"
COLUMNS = ("window", "offered/s", "answered/s", "refused %", "failed %", *(f"p{each} ms" for each in PERCENTILES))


def write(result: LoadTestResult, folder: Path, plots_folder: Path | None = None) -> Path:
    """Write the HTML report and the CSV tables, and the plots as PNG files if there is a folder for them.

    Returns:
        The path of the HTML report.
    """
    plots = all_plots(result.plan, result.windows, result.records, result.objectives)
    write_tables(result.windows, folder)
    path = folder / REPORT
    path.write_text(html_report(result, plots))
    if plots_folder is not None:
        for plot in plots:
            as_png(plot.figure, plots_folder / f"loadtest-{plot.name}.png")
    return path


def show(result: LoadTestResult, console: Console) -> None:
    """Print a table of the windows, and the objectives that were missed."""
    report = TableReport("load test", {}, COLUMNS, machine=dict(result.machine))
    for window in result.windows:
        callers = window.callers[ALL]
        load = callers.load
        times = (callers.latency.get(each, float("nan")) * 1e3 for each in PERCENTILES)
        shares = (load.refused * 100, load.lost * 100)
        report.rows.append((window.window.name, load.offered, load.goodput, *shares, *times))
    report.targets = result.missed
    report.notes = [f"{len(result.targets) - len(result.missed)} of {len(result.targets)} objectives met"]
    console.print()
    report.show(console)
