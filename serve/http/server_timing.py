"""`Server-Timing`: how long the parts of a response took, in milliseconds as the specification demands."""

import time

from deployments.telemetry.measurements import Answer
from serve.http.messages import Headers


def total_entry(began: float, name: bytes = b"total") -> bytes:
    """The header's entry for the time since `began` (`time.perf_counter()`)."""
    return b"%b;dur=%.2f" % (name, (time.perf_counter() - began) * 1e3)


def answer_headers(answer: Answer, began: float) -> Headers:
    """The headers that describe a model's answer; for a stream, until its first event."""
    headers = [
        (b"x-batch-size", b"%d" % answer.batch_rows),
        (b"x-padding-ratio", b"%.3f" % answer.padding_ratio),
    ]
    if answer.tokens:
        prompt_tokens, generated_tokens = answer.tokens
        headers.append((b"x-prompt-tokens", b"%d" % prompt_tokens))
        if generated_tokens is not None:
            headers.append((b"x-generated-tokens", b"%d" % generated_tokens))
    if answer.truncated:
        headers.append((b"x-truncated-inputs", b"%d" % answer.truncated))
    headers.append((b"server-timing", _server_timing(answer, began)))
    return headers


def _server_timing(answer: Answer, began: float) -> bytes:
    return b"queue;dur=%.2f, preprocess;dur=%.2f, forward;dur=%.2f, postprocess;dur=%.2f, %b" % (
        answer.queue_s * 1e3,
        answer.preprocess_s * 1e3,
        answer.forward_s * 1e3,
        answer.postprocess_s * 1e3,
        total_entry(began),
    )
