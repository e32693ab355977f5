"""Contender: transformers' continuous batching (what `generate_batch` runs on), for decoder-only models."""

import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import Any

from loadtests.bench.generation.backends.static_batches import Generating
from loadtests.bench.generation.driver import Track, wait_for

# Found best on a CPU. By default it takes most of the memory and is many times slower; and with 64 rows at once, which
# these blocks have room for, a third as fast as with 16.
PAGE_SIZE, BLOCKS, BATCH_TOKENS = 16, 256, 512
STOP_LIMIT_S = 30.0


class Continuous:
    """A `ContinuousBatchingManager`, and a thread that hears what it writes."""

    def __init__(self, folder: str, rows: int) -> None:
        from transformers import ContinuousBatchingConfig

        model = Generating(folder).model
        settings = ContinuousBatchingConfig(
            page_size=PAGE_SIZE, num_blocks=BLOCKS, max_batch_tokens=BATCH_TOKENS, max_requests_per_batch=rows
        )
        defaults = model.generation_config
        defaults.update(do_sample=False, max_new_tokens=1)
        self._manager = model.init_continuous_batching(defaults, continuous_batching_config=settings)
        self._manager.start()
        self._numbers = itertools.count()
        self._tracks: dict[str, Track] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def submit(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            name = str(next(self._numbers))
            self._tracks[name] = track
            ids, new = list(track.wanted.ids), track.wanted.new
            if self._manager.add_request(ids, name, max_new_tokens=new, streaming=True, eos_token_id=-1) is None:
                track.fail("refused")

    def clear(self) -> None:
        left, self._tracks = self._tracks, {}
        for name, track in left.items():
            if not track.stream.is_over:
                self._manager.cancel_request(name)
        scheduler = self._manager.batch_processor.scheduler
        wait_for(lambda: not scheduler.has_pending_requests())

    def close(self) -> None:
        self._is_closing = True
        self._manager.stop(block=True, timeout=STOP_LIMIT_S, hard_stop=True)
        self._thread.join(STOP_LIMIT_S)

    def _hear(self) -> None:
        while not self._is_closing:
            with contextlib.suppress(Exception):  # of a result for which nobody waits any more
                if (result := self._manager.get_result(timeout=0.1)) is not None:
                    self._note(result)

    def _note(self, result: Any) -> None:
        track = self._tracks.get(result.request_id)
        if track is None:
            return
        if result.error is not None:
            track.fail("failed")
        elif new := len(result.generated_tokens) - len(track.stream.heard):
            track.hear(new)
