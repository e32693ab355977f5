"""Small checkpoints of generating models, saved as the hub would have them, with the weights of `generation_models`."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import transformers
from tokenizers.processors import TemplateProcessing

from deployments.config import ModelConfig, Resources
from deployments.registry import task_of
from deployments.replica.replica import Replica
from tests.checkpoints import small_tokenizer
from tests.generation_models import TEXT, family_config, spread
from tests.waiting import PATIENCE_S

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'system' and not loop.first %}"
    "{{ raise_exception('the system speaks first') }}{% endif %}"
    "<s>{{ message.role }}: {{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
DECODERS = tuple(name for name in TEXT if not family_config(name, 99).is_encoder_decoder)
ENCODER_DECODERS = tuple(name for name in TEXT if name not in DECODERS)


def writing_checkpoint(folder: Path, family: str, *, chat: bool = False, **generation: Any) -> Path:
    """Save a random generating model with a byte-level tokenizer, and return the folder.

    Args:
        folder: where; made if need be.
        family: one of `generation_models.TEXT`. A decoder's tokenizer writes no end behind a prompt.
        chat: with a chat template, which refuses a system message that is not the first.
        generation: goes into `generation_config.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    if family in DECODERS:  # a prompt that ends with the end of a text would often be gone on with by another end
        start = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = start
    if chat:
        tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    config = family_config(family, len(tokenizer), **ids)
    model = spread(_class_of(config).from_config(config))
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    return folder


def _class_of(config: Any) -> Any:
    name = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"
    return getattr(transformers, name)


def writing_replica(folder: Path, **config: Any) -> Replica:
    """A loaded replica of such a checkpoint, with the task that the registry finds for it."""
    fixed = {"model": str(folder), "name": "small", "device": "cpu", "resources": Resources(cpu_threads=1)}
    settings = ModelConfig.model_validate({**fixed, **config})
    replica = Replica(settings, task_of(settings))
    replica.load()
    return replica


class Writing:
    """Checkpoints and replicas of them, each made once. For fixtures; ended with `stop`.

    Args:
        root: where, such as `tmp_path_factory.mktemp("writing")`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, Path] = {}
        self._replicas: dict[str, Replica] = {}

    def folder(self, family: str, **options: Any) -> Path:
        key = f"{family} {options}"
        if key not in self._folders:
            self._folders[key] = writing_checkpoint(self._root / f"{len(self._folders)}-{family}", family, **options)
        return self._folders[key]

    def replica(self, family: str, config: dict[str, Any] | None = None, **options: Any) -> Replica:
        key = f"{family} {config} {options}"
        if key not in self._replicas:
            self._replicas[key] = writing_replica(self.folder(family, **options), **(config or {}))
        return self._replicas[key]

    def stop(self) -> None:
        for replica in self._replicas.values():
            replica.stop()


def request_of(replica: Replica, inputs: Any, *, stream: bool = False, **parameters: Any) -> Any:
    body = {"inputs": inputs, "parameters": {"max_new_tokens": 8, **parameters}, "stream": stream}
    return replica.task_class.request.model_validate(body)


async def outcomes(replica: Replica, requests: list[Any]) -> list[Any]:
    """Answers (or errors) of requests that are all in flight together, in their order."""
    calls = [replica.predict(each, orjson.dumps, timeout_s=PATIENCE_S) for each in requests]
    done = await asyncio.gather(*calls, return_exceptions=True)
    return [each if isinstance(each, BaseException) else orjson.loads(each.body) for each in done]


def ask(replica: Replica, inputs: Any, **parameters: Any) -> Any:
    """The answer to one request by itself."""
    (outcome,) = asyncio.run(outcomes(replica, [request_of(replica, inputs, **parameters)]))
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def events(replica: Replica, request: Any, timeout_s: float = PATIENCE_S) -> list[Any]:
    return [event async for event in replica.stream(request, timeout_s)]
