"""PagedEngine: transformers' continuous batching behind the interface of `Engine`, for decoder-only models on GPUs.

On a GPU its paged attention is flash attention, which ours is not; on a CPU it is slower than ours. It has fewer
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

POLL_S = 0.1  # between two checks of the deadlines while no result comes
# Options that the manager takes per request, those passed to it in other ways, and those it may ignore.
_SUPPORTED = {"do_sample", "temperature", "top_k", "top_p", "max_new_tokens", "eos_token_ids", "logprobs"}
_DEFAULTS = SamplingParams()


def unsupported_by_paged(params: SamplingParams) -> list[str]:
    """Names of the options that are set and that this engine does not have."""
    names = (field.name for field in fields(params) if field.name not in _SUPPORTED)
    return [name for name in names if getattr(params, name) != getattr(_DEFAULTS, name)]


class PagedEngine:
    """Runs sequences in a `ContinuousBatchingManager`; a thread emits the tokens that it returns.

    Args:
        model: decoder-only, in eval mode.
        defaults: the checkpoint's `GenerationConfig`.
        max_cache_tokens: KV slots of the cache.
        max_prefill_tokens: tokens that one forward reads at most.
        name: of the thread.

    Attributes:
        busy_since: `time.monotonic()` of the latest result while sequences are in progress; None while there are none.
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
        self.busy_since: float | None = None

    def start(self) -> None:
        self._manager.start()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and bool(self._manager.is_running())

    @property
    def waiting(self) -> int:
        """Always 0: the manager does not tell which sequences it has begun."""
        return 0

    @property
    def running(self) -> int:
        """Sequences in progress."""
        return len(self._sequences)

    @property
    def kv_slots(self) -> int:
        """KV slots that sequences in progress may come to use."""
        return sum(len(sequence.prompt.ids) + sequence.max_new_tokens for sequence in self._sequences.values())

    @property
    def padding_ratio(self) -> float:
        """Always 0: pages have no padding."""
        return 0.0

    def submit(self, sequence: GenerationSequence) -> None:
        """Queue a sequence. Thread-safe. Settles it with `Unavailable` if the manager takes no more.

        Raises:
            InvalidInput: options that this engine does not have, or more tokens than the cache or the model holds.
        """
        if (names := unsupported_by_paged(sequence.params)) or sequence.processor is not None or sequence.prompt.inputs:
            raise InvalidInput(f"{', '.join(names) or 'this input'}: not supported with generation.engine: paged")
        needed = len(sequence.prompt.ids) + sequence.max_new_tokens
        limit = min(self.max_cache_tokens, self._positions or self.max_cache_tokens)
        if needed > limit:
            raise InvalidInput(f"this needs {needed} tokens (prompt and max_new_tokens), and the limit is {limit}")
        sequence.submitted = time.monotonic()
        name = str(next(self._numbers))
        with self._lock:
            self._sequences[name] = sequence
            self.busy_since = self.busy_since or sequence.submitted
        accepted = self._manager.add_request(
            list(sequence.prompt.ids),
            name,
            max_new_tokens=sequence.max_new_tokens,
            streaming=True,
            eos_token_id=list(sequence.params.eos_token_ids) or -1,
            **self._sampling_options(sequence.params),
        )
        if accepted is None:
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
        """Refuse: nothing else can run with the model, whose attention is patched to read pages.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput("parameters.num_beams: not supported with generation.engine: paged")

    def stop(self, timeout: float = 5.0) -> None:
        """Answer everything in progress with `Unavailable` and end both threads."""
        self._stopping = True
        for name in list(self._sequences):
            self._end(name, Unavailable("the model is shutting down", retry_after=1))
        self._manager.stop(block=True, timeout=timeout, hard_stop=True)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _sampling_options(self, params: SamplingParams) -> dict[str, Any]:
        """Options of a request; greedy decoding is sampling from the top 1."""
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
