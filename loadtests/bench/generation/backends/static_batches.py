"""Backend: `generate()` with static batches, or one by one. Also the offline pass, a static batch of equal lengths."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.bench.generation.driver import RequestInFlight, wait_until_idle
from loadtests.bench.generation.requests import PAD, VOCABULARY


@dataclass(frozen=True, slots=True)
class OfflinePass:
    """A batch of equal lengths: generated tokens, elapsed seconds, and CPU seconds."""

    tokens: int
    wall_s: float
    cpu_s: float


class GenerateModel:
    """A model with `generate()`."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.has_encoder = bool(AutoConfig.from_pretrained(folder).is_encoder_decoder)
        kind = AutoModelForSeq2SeqLM if self.has_encoder else AutoModelForCausalLM
        self.model: Any = kind.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        new: int,
        streamer: Any = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        """Generate `new` tokens for each prompt.

        Args:
            prompts: token ids. They are padded on the right for an encoder, on the left otherwise.
            new: number of tokens.
            streamer: as for `generate()`.
            is_cancelled: asked after every token.
        """
        import torch

        length = max(map(len, prompts))
        ids, mask = torch.full((len(prompts), length), PAD), torch.zeros((len(prompts), length), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            place = slice(0, len(prompt)) if self.has_encoder else slice(length - len(prompt), length)
            ids[row, place] = torch.tensor(prompt)
            mask[row, place] = 1
        criteria = None
        if is_cancelled is not None:
            criteria = [lambda ids, scores, **_: torch.full((len(ids),), is_cancelled())]
        with torch.inference_mode():
            return self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=new,
                do_sample=False,
                pad_token_id=PAD,
                streamer=streamer,
                stopping_criteria=criteria,
            )

    def offline(self, rows: int, prompt: int, new: int) -> OfflinePass:
        """One batch in which all rows have the same lengths."""
        prompts = [[2 + (31 * row + place) % (VOCABULARY - 2) for place in range(prompt)] for row in range(rows)]
        wall, cpu = time.perf_counter(), time.process_time()
        self.generate(prompts, new)
        return OfflinePass(rows * new, time.perf_counter() - wall, time.process_time() - cpu)


class StaticBatchBackend:
    """A thread that takes up to `rows` waiting requests, and returns all of them when the longest is complete.

    With one row, tokens are streamed.
    """

    def __init__(self, folder: str, rows: int) -> None:
        self._model = GenerateModel(folder)
        self._rows = rows
        self._waiting: list[RequestInFlight] = []
        self._changed = threading.Condition()
        self._is_running = self._is_cancelled = self._is_closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[RequestInFlight]) -> None:
        with self._changed:
            self._waiting += requests
            self._changed.notify()

    def cancel(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._is_cancelled = True
        wait_until_idle(lambda: not self._is_running)
        self._is_cancelled = False

    def close(self) -> None:
        self.cancel()
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(60)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_running = False
                while not (self._waiting or self._is_closing):
                    self._changed.wait()
                if self._is_closing:
                    return
                batch, self._waiting = self._waiting[: self._rows], self._waiting[self._rows :]
                self._is_running = True
            self._generate(batch)

    def _generate(self, batch: Sequence[RequestInFlight]) -> None:
        try:
            prompts, longest = [each.request.ids for each in batch], max(each.request.new for each in batch)
            streamer = _Streamer(batch[0]) if self._rows == 1 else None
            self._model.generate(prompts, longest, streamer, lambda: self._is_cancelled)
        except Exception as error:  # counted as a failure; the next batch may work
            for each in batch:
                each.fail(type(error).__name__)
            return
        if self._rows > 1 and not self._is_cancelled:
            for each in batch:
                each.add_tokens(each.request.new)


class _Streamer:
    """A streamer for `generate()`, which passes the prompt first and then every token."""

    def __init__(self, request: RequestInFlight) -> None:
        self._request = request
        self._is_prompt = True

    def put(self, tokens: Any) -> None:
        if not self._is_prompt:
            self._request.add_tokens()
        self._is_prompt = False

    def end(self) -> None:
        pass
