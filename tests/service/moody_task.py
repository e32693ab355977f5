"""A task whose model does what the text says: works, is slow or slower, fails once, fails from then on, or hangs."""

import threading
import time
from collections.abc import Hashable, Sequence
from typing import Any

from deployments.contract.task import Prepared, Row
from loadtests.bench.servers.noop_task import NoOp, Request

SLOW_S, SLOWER_S = 0.4, 4.0


class Moody(NoOp):
    """Answers how many characters it was sent, unless told otherwise."""

    name = "moody"
    example = {"inputs": "a fine day"}
    broken = threading.Event()  # of a replica's process

    def preprocess(self, request: Request) -> Prepared:
        return Prepared([Row({"text": request.inputs}, 1)])

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        texts = [row.inputs["text"] for row in rows]
        if "break" in texts:
            self.broken.set()
        if "hang" in texts:
            time.sleep(3600)
        if self.broken.is_set() or "fail" in texts:
            raise RuntimeError("not in the mood")
        time.sleep(SLOWER_S if "slower" in texts else SLOW_S if "slow" in texts else 0)
        return [0] * len(rows)
