"""Contenders that call `generate`: static batches, or one by one; and the limit, equal lengths offline."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.bench.generation.driver import Track, wait_for
from loadtests.bench.generation.requests import PAD, VOCABULARY


@dataclass(frozen=True, slots=True)
class Pass:
    """A batch of equal lengths, all known beforehand. Seconds by the clock, and on the processor."""

    tokens: int
    wall_s: float
    cpu_s: float


class Generating:
    """A model with `generate`."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

        self.has_encoder = bool(AutoConfig.from_pretrained(folder).is_encoder_decoder)
        kind = AutoModelForSeq2SeqLM if self.has_encoder else AutoModelForCausalLM
        self.model: Any = kind.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(
        self, prompts: Sequence[Sequence[int]], new: int, streamer: Any = None, is_cut: Callable[[], bool] | None = None
    ) -> Any:
        """So many tokens behind each prompt; short ones are padded, on the left where the model goes on with them.

        `is_cut` is asked after every token whether to stop.
        """
        import torch

        length = max(map(len, prompts))
        ids, mask = torch.full((len(prompts), length), PAD), torch.zeros((len(prompts), length), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            place = slice(0, len(prompt)) if self.has_encoder else slice(length - len(prompt), length)
            ids[row, place] = torch.tensor(prompt)
            mask[row, place] = 1
        with torch.inference_mode():
            return self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=new,
                do_sample=False,
                pad_token_id=PAD,
                streamer=streamer,
                stopping_criteria=[lambda ids, scores, **_: torch.full((len(ids),), is_cut())] if is_cut else None,
            )

    def limit(self, rows: int, prompt: int, new: int) -> Pass:
        """One batch of rows that are equally long."""
        prompts = [[2 + (31 * row + place) % (VOCABULARY - 2) for place in range(prompt)] for row in range(rows)]
        wall, cpu = time.perf_counter(), time.process_time()
        self.generate(prompts, new)
        return Pass(rows * new, time.perf_counter() - wall, time.process_time() - cpu)


class StaticBatches:
    """A thread that takes what waits, at most so many rows, and answers all when the longest is done.

    With one row at a time the tokens are told as they come.
    """

    def __init__(self, folder: str, rows: int) -> None:
        self._generating = Generating(folder)
        self._rows = rows
        self._waiting: list[Track] = []
        self._changed = threading.Condition()
        self._is_running = self._is_cut = self._is_closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, tracks: Sequence[Track]) -> None:
        with self._changed:
            self._waiting += tracks
            self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._is_cut = True
        wait_for(lambda: not self._is_running)
        self._is_cut = False

    def close(self) -> None:
        self.clear()
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
            self._answer(batch)

    def _answer(self, batch: Sequence[Track]) -> None:
        try:
            prompts, longest = [track.wanted.ids for track in batch], max(track.wanted.new for track in batch)
            listener = _Listener(batch[0]) if self._rows == 1 else None
            self._generating.generate(prompts, longest, listener, lambda: self._is_cut)
        except Exception as error:  # it is counted, and the next batch may work
            for track in batch:
                track.fail(type(error).__name__)
            return
        if self._rows > 1 and not self._is_cut:
            for track in batch:
                track.hear(track.wanted.new)


class _Listener:
    """What `generate` tells of the prompt and then of every token."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._is_prompt = True

    def put(self, tokens: Any) -> None:
        if not self._is_prompt:
            self._track.hear()
        self._is_prompt = False

    def end(self) -> None:
        pass
