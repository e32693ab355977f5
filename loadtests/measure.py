"""Puts a plan's load on a service and gathers what is needed for its report."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loadtests.load.records import Record, began_at, read_records
from loadtests.plan import Plan
from loadtests.processes.child import wait_until
from loadtests.processes.locust_process import LocustFailed, locust, log_of, wait
from loadtests.report.figures import Stretch, stretches
from loadtests.report.progress import Say
from loadtests.service.metrics import LAG_S, Sums, scrape

START_LIMIT_S = 60.0  # for locust to begin
RECORDS = "requests.csv"


def measure(plan: Plan, url: str, folder: Path, say: Say) -> tuple[list[Stretch], list[Record]]:
    """Run it; what happened in each window, and every request.

    Raises:
        LocustFailed: locust did not do what it was told.
    """
    records = folder / RECORDS
    records.unlink(missing_ok=True)
    plan = replace(plan, records=str(records))
    time.sleep(LAG_S)  # what was asked before is then in the metrics already, and counts for nothing
    scrapes = [_scrape(url, say)]
    with locust(plan, url, folder) as process:
        wait_until(lambda: began_at(records) is not None or process.poll() is not None, START_LIMIT_S)
        began = began_at(records)
        if began is None:
            raise LocustFailed(f"locust did not begin\n{log_of(folder)}")
        scrapes += _follow(plan, began, url, lambda: process.poll() is not None, say)
        wait(process, folder, plan.timeout_s + 30)
    done = read_records(records)
    known = [each for each in scrapes if each is not None]
    return stretches(plan, done, known if len(known) == len(scrapes) else []), done


def _follow(plan: Plan, began: float, url: str, ended: Callable[[], bool], say: Say) -> list[Sums | None]:
    """Behind each window, what the metrics say, as soon as they can have heard of it."""
    scrapes: list[Sums | None] = []
    for window in plan.windows:
        say(f"{window.name}: {window.rate:g} requests/s for {window.seconds:g} s")
        time.sleep(max(0.0, began + window.end + LAG_S - time.time()))
        scrapes.append(_scrape(url, say))
        if ended() and window is not plan.windows[-1]:
            break  # what happened is told where its end is waited for
    return scrapes


def _scrape(url: str, say: Say) -> Sums | None:
    try:
        return scrape(url)
    except OSError as error:
        say(f"{url}/metrics cannot be read, the report goes without: {error}")
        return None
