"""Watching: the table of a service from one look at it to the next."""

import time
from collections import deque

from rich.console import Console
from rich.table import Table

from serve.cli.top.client import ServiceClient, ServiceUnreachable, Snapshot
from serve.cli.top.model_row import model_row
from serve.cli.top.table import drawn

WINDOW_S = 12.0  # replicas tell their sums every 3 s: over a shorter time the same load would seem to come and go


class Monitor:
    """Looks at a service again and again.

    Args:
        service: that is looked at.
        console: whose width the table keeps to.

    Raises:
        ServiceUnreachable: it cannot be.
    """

    def __init__(self, service: ServiceClient, console: Console) -> None:
        self._service = service
        self._console = console
        self._looks: deque[Snapshot] = deque([service.look()])

    def look(self) -> Table:
        """What happened in the last `WINDOW_S`, or since the only look before this one.

        Raises:
            ServiceUnreachable: it cannot be looked at any more.
        """
        self._looks.append(self._service.look())
        while len(self._looks) > 2 and self._looks[-1].scrape.at - self._looks[1].scrape.at >= WINDOW_S:
            self._looks.popleft()
        return self.table()

    def look_again(self) -> Table:
        """The same; the last table with a note where the service does not answer."""
        try:
            return self.look()
        except ServiceUnreachable as error:
            return self.table(f"{time.strftime('%H:%M:%S')}: {error}")

    def table(self, note: str = "") -> Table:
        """What was seen until now; `note` goes below it."""
        before, now = self._looks[0].scrape, self._looks[-1]
        rows = [
            model_row(
                name,
                now.scrape.tasks.get(name, ""),
                said["state"] + (f" {said['progress']}" if "progress" in said else ""),
                said["replicas"],
                before,
                now.scrape,
            )
            for name, said in now.models.items()
        ]
        seconds = now.scrape.at - before.at
        over = f", the last {seconds:.0f} s" if seconds else ""
        notes = [f"{name}: {said['reason']}" for name, said in now.models.items() if said.get("reason")]
        if not now.scrape.tasks:
            notes.append("no metrics: the models are still loading, or `metrics.enabled` is false")
        if note:
            notes.append(note)
        return drawn(rows, f"{self._service.url}{over}", notes, self._console.width)
