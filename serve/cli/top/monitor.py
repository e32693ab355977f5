"""Monitor: the table of a running service, updated from its metrics."""

import time
from collections import deque

from rich.console import Console
from rich.table import Table

from serve.cli.top.client import ServiceClient, ServiceUnreachable, Snapshot
from serve.cli.top.model_row import model_row
from serve.cli.top.table import models_table

WINDOW_S = 12.0  # replicas export metrics every 3 s, so a steady load would fluctuate over a shorter window


class Monitor:
    """Takes snapshots of a service and compares them.

    Args:
        service: to monitor.
        console: limits the table's width.

    Raises:
        ServiceUnreachable: the service cannot be monitored.
    """

    def __init__(self, service: ServiceClient, console: Console) -> None:
        self._service = service
        self._console = console
        self._snapshots: deque[Snapshot] = deque([service.snapshot()])

    def update(self) -> Table:
        """Take a snapshot; the load over the last `WINDOW_S`.

        Raises:
            ServiceUnreachable: the service does not answer any more.
        """
        self._snapshots.append(self._service.snapshot())
        while len(self._snapshots) > 2 and self._snapshots[-1].scrape.at - self._snapshots[1].scrape.at >= WINDOW_S:
            self._snapshots.popleft()
        return self.table()

    def try_update(self) -> Table:
        """The same; if the service does not answer, the last table with a note."""
        try:
            return self.update()
        except ServiceUnreachable as error:
            return self.table(f"{time.strftime('%H:%M:%S')}: {error}")

    def table(self, note: str = "") -> Table:
        """The table of the snapshots so far, with a note below it."""
        before, now = self._snapshots[0].scrape, self._snapshots[-1]
        rows = [
            model_row(
                name,
                now.scrape.tasks.get(name, ""),
                status["state"] + (f" {status['progress']}" if "progress" in status else ""),
                status["replicas"],
                before,
                now.scrape,
            )
            for name, status in now.models.items()
        ]
        seconds = now.scrape.at - before.at
        over = f", the last {seconds:.0f} s" if seconds else ""
        notes = [f"{name}: {status['reason']}" for name, status in now.models.items() if status.get("reason")]
        if not now.scrape.tasks:
            notes.append("no metrics: the models are still loading, or `metrics.enabled` is false")
        if note:
            notes.append(note)
        return models_table(rows, f"{self._service.url}{over}", notes, self._console.width)
