"""Runs a plan against a service and collects the requests and the metrics of each window."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadtests.load.records import RequestRecord, began_at, read_records
from loadtests.locust_process import LocustFailed, last_output, locust, wait
from loadtests.plan import Plan
from loadtests.processes.child import wait_until
from loadtests.report.progress import Log
from loadtests.report.windows import WindowResult, window_results
from loadtests.service.metrics import LAG_S, MetricSums, scrape

START_LIMIT_S = 60.0  # for locust to start the load
RECORDS = "requests.csv"


def measure(plan: Plan, url: str, folder: Path, log: Log) -> tuple[list[WindowResult], list[RequestRecord]]:
    """Run the plan. Returns the result of each window, and all requests.

    Raises:
        LocustFailed: locust did not start the load, or failed.
    """
    records = folder / RECORDS
    records.unlink(missing_ok=True)
    plan = replace(plan, records=str(records))
    time.sleep(LAG_S)  # so that the first scrape includes all earlier requests
    scrapes = [_scrape(url, log)]
    with locust(plan, url, folder) as process:
        wait_until(lambda: began_at(records) is not None or process.poll() is not None, START_LIMIT_S)
        began = began_at(records)
        if began is None:
            raise LocustFailed(f"locust did not start the load\n{last_output(folder)}")
        scrapes += _scrape_windows(plan, began, url, lambda: process.poll() is not None, log)
        wait(process, folder, plan.timeout_s + 30)
    requests = read_records(records)
    known = [each for each in scrapes if each is not None]
    return window_results(plan, requests, known if len(known) == len(scrapes) else []), requests


def _scrape_windows(
    plan: Plan, began: float, url: str, has_ended: Callable[[], bool], log: Log
) -> list[MetricSums | None]:
    """Scrape the metrics after each window, as soon as they include all of it."""
    scrapes: list[MetricSums | None] = []
    for window in plan.windows:
        log(f"{window.name}: {window.rate:g} requests/s for {window.seconds:g} s")
        time.sleep(max(0.0, began + window.end + LAG_S - time.time()))
        scrapes.append(_scrape(url, log))
        if has_ended() and window is not plan.windows[-1]:
            break  # `wait` raises the error
    return scrapes


def _scrape(url: str, log: Log) -> MetricSums | None:
    try:
        return scrape(url)
    except OSError as error:
        log(f"cannot read {url}/metrics: {error}; the report leaves the metrics out")
        return None
