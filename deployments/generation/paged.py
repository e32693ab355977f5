"""PagedEngine: transformers' own continuous batching behind the engine's face, for decoder-only models on GPUs.

There its attention over pages is flash attention, which ours is not; on a CPU it is slower than ours. It has fewer
options: no seeds, penalties, beams or log-probabilities.
"""

import copy
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from deployments.errors import DeadlineExceeded, ForwardFailed, InvalidInput, ServiceError, Unavailable
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import GenerationSequence
from deployments.generation.transformers_internals import continuous_batching_manager

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

POLL_S = 0.1  # how often deadlines are looked at while nothing comes
# What the manager takes for each request, what it is told in other ways, and what it may leave unanswered.
_TAKEN = {"do_sample", "temperature", "top_k", "top_p", "max_new_tokens", "eos_token_ids", "logprobs"}
_OFF = SamplingParams()


def refused(params: SamplingParams) -> list[str]:
    """Options that are set and that this engine has not."""
    names = (field.name for field in fields(params) if field.name not in _TAKEN)
    return [name for name in names if getattr(params, name) != getattr(_OFF, name)]


class PagedEngine:
    """Rows in a `ContinuousBatchingManager`; a thread hands on what it gives.

    Args:
        model: decoder-only, in eval mode.
        defaults: the checkpoint's `GenerationConfig`.
        max_cache_tokens: token places of the cache.
        max_prefill_tokens: tokens that one forward reads at most.
        name: of the thread.
    """

    def __init__(
        self, model: "torch.nn.Module", defaults: Any, *, max_cache_tokens: int, max_prefill_tokens: int, name: str
    ) -> None:
        self.max_cache_tokens = max_cache_tokens
        config: Any = model.config
        self._vocabulary = int(config.get_text_config().vocab_size)
        self._positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        page_size = 256 if next(model.parameters()).device.type == "cuda" else 16
        sampling = copy.deepcopy(defaults)
        # Any value turns a logits processor on; every request sets its own.
        sampling.update(do_sample=True, temperature=0.9, top_k=50, top_p=0.9, max_new_tokens=1)
        self._manager = continuous_batching_manager(
            model,
            sampling,
            page_size=page_size,
            pages=max(2, max_cache_tokens // page_size),
            max_batch_tokens=max_prefill_tokens,
        )
        self._numbers = itertools.count()
        self._sequences: dict[str, GenerationSequence] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.busy_since: float | None = None  # when there was the last sign of life of what is under way

    def start(self) -> None:
        self._manager.start()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and bool(self._manager.is_running())

    @property
    def waiting(self) -> int:
        """Rows that the manager has not begun: not known."""
        return 0

    @property
    def running(self) -> int:
        """Rows under way."""
        return len(self._sequences)

    @property
    def kv_slots(self) -> int:
        """Token places that rows under way have claimed."""
        return sum(len(sequence.prompt.ids) + sequence.max_new_tokens for sequence in self._sequences.values())

    @property
    def padding_ratio(self) -> float:
        """There is none."""
        return 0.0

    def submit(self, sequence: GenerationSequence) -> None:
        """Put a job in line. Thread-safe.

        Raises:
            InvalidInput: options that this engine has not, or a request that could never fit.
            Unavailable: the manager takes no more.
        """
        if (names := refused(sequence.params)) or sequence.processor is not None or sequence.prompt.inputs:
            raise InvalidInput(f"{', '.join(names) or 'this input'}: not possible with generation.engine: paged")
        needed = len(sequence.prompt.ids) + sequence.max_new_tokens
        limit = min(self.max_cache_tokens, self._positions or self.max_cache_tokens)
        if needed > limit:
            raise InvalidInput(f"this needs {needed} token places, and the model has {limit}")
        sequence.submitted = time.monotonic()
        name = str(next(self._numbers))
        with self._lock:
            self._sequences[name] = sequence
            self.busy_since = self.busy_since or sequence.submitted
        taken = self._manager.add_request(
            list(sequence.prompt.ids),
            name,
            max_new_tokens=sequence.max_new_tokens,
            streaming=True,
            eos_token_id=list(sequence.params.eos_token_ids) or -1,
            **self._drawing(sequence.params),
        )
        if taken is None:
            self._end(name, Unavailable("the model is shutting down", retry_after=1))

    def cancel(self, sequence: GenerationSequence, error: BaseException | None = None) -> None:
        """End a sequence now. Thread-safe."""
        with self._lock:
            name = next((name for name, each in self._sequences.items() if each is sequence), None)
        if name is not None:
            self._manager.cancel_request(name)
            self._remove(name)
        sequence.settle(error or Unavailable("the request was cancelled"))

    def run_on_engine_thread(self, call: Callable[[], None]) -> None:
        """Nothing else can run with the model: its attention reads pages.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput("parameters.num_beams: not possible with generation.engine: paged")

    def stop(self, timeout: float = 5.0) -> None:
        """Answer everything under way with `Unavailable` and end both threads."""
        self._stopping = True
        for name in list(self._sequences):
            self._end(name, Unavailable("the model is shutting down", retry_after=1))
        self._manager.stop(block=True, timeout=timeout, hard_stop=True)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _drawing(self, params: SamplingParams) -> dict[str, Any]:
        """How tokens are drawn; the likeliest is what is drawn from one."""
        if not params.do_sample:
            return {"temperature": 1.0, "top_k": 1, "top_p": 1.0}
        top_k = min(params.top_k or self._vocabulary, self._vocabulary)
        return {"temperature": float(params.temperature), "top_k": top_k, "top_p": float(params.top_p)}

    def _run(self) -> None:
        while not self._stopping:
            result = self._manager.get_result(timeout=POLL_S)
            if result is not None:
                self._receive(result)
            elif not self._manager.is_running() and not self._stopping:
                for name in list(self._sequences):
                    self._end(name, ForwardFailed("the model failed"))
                return
            now = time.monotonic()
            for sequence in list(self._sequences.values()):
                if sequence.deadline < now:
                    self.cancel(sequence, DeadlineExceeded("the request's time ran out before its text was complete"))

    def _receive(self, result: Any) -> None:
        """Emit the tokens that the manager has sampled for one sequence since the last result."""
        sequence = self._sequences.get(result.request_id)
        if sequence is None:
            return
        self.busy_since = time.monotonic()
        sequence.started = sequence.started or sequence.submitted
        if result.error is not None:
            logger.error("the manager failed on a sequence: %s", result.error)
            self._end(result.request_id, ForwardFailed("the model failed on this input"))
            return
        for token in result.generated_tokens[len(sequence.tokens) :]:
            sequence.emit(token, None, ())
            if sequence.is_settled:
                break
        if result.is_finished():
            sequence.settle(finish="length")  # unless it has ended otherwise
        elif sequence.is_settled:
            self._manager.cancel_request(result.request_id)
        if sequence.is_settled:
            self._remove(result.request_id)

    def _end(self, name: str, error: ServiceError) -> None:
        sequence = self._remove(name)
        if sequence is not None:
            sequence.settle(error)

    def _remove(self, name: str) -> GenerationSequence | None:
        with self._lock:
            sequence = self._sequences.pop(name, None)
            if not self._sequences:
                self.busy_since = None
        return sequence
