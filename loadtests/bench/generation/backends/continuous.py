"""Backend: transformers' continuous batching, which `generate_batch` uses, for decoder-only models."""

import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import Any

from loadtests.bench.generation.backends.static_batches import GenerateModel
from loadtests.bench.generation.driver import RequestInFlight, wait_until_idle

# The fastest settings on a CPU. The defaults use most of the memory and are many times slower. These blocks have room
# for 64 rows at once, which are a third as fast as 16.
PAGE_SIZE, BLOCKS, BATCH_TOKENS = 16, 256, 512
STOP_LIMIT_S = 30.0


class ContinuousBackend:
    """A `ContinuousBatchingManager`, and a thread that reads its results."""

    def __init__(self, folder: str, rows: int) -> None:
        from transformers import ContinuousBatchingConfig

        model = GenerateModel(folder).model
        settings = ContinuousBatchingConfig(
            page_size=PAGE_SIZE, num_blocks=BLOCKS, max_batch_tokens=BATCH_TOKENS, max_requests_per_batch=rows
        )
        defaults = model.generation_config
        defaults.update(do_sample=False, max_new_tokens=1)
        self._manager = model.init_continuous_batching(defaults, continuous_batching_config=settings)
        self._manager.start()
        self._ids = itertools.count()
        self._requests: dict[str, RequestInFlight] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._read_results, daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        for each in requests:
            request_id = str(next(self._ids))
            self._requests[request_id] = each
            ids, new = list(each.request.ids), each.request.new
            added = self._manager.add_request(ids, request_id, max_new_tokens=new, streaming=True, eos_token_id=-1)
            if added is None:
                each.fail("refused")

    def cancel(self) -> None:
        cancelled, self._requests = self._requests, {}
        for request_id, each in cancelled.items():
            if not each.stream.has_ended:
                self._manager.cancel_request(request_id)
        scheduler = self._manager.batch_processor.scheduler
        wait_until_idle(lambda: not scheduler.has_pending_requests())

    def close(self) -> None:
        self._is_closing = True
        self._manager.stop(block=True, timeout=STOP_LIMIT_S, hard_stop=True)
        self._thread.join(STOP_LIMIT_S)

    def _read_results(self) -> None:
        while not self._is_closing:
            with contextlib.suppress(Exception):  # of the result of a cancelled request
                if (result := self._manager.get_result(timeout=0.1)) is not None:
                    self._note(result)

    def _note(self, result: Any) -> None:
        request = self._requests.get(result.request_id)
        if request is None:
            return
        if result.error is not None:
            request.fail("failed")
        elif new := len(result.generated_tokens) - len(request.stream.token_times):
            request.add_tokens(new)
