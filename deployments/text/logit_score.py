"""Rerankers over a causal model, in the form of sentence-transformers' CrossEncoder with LogitScore.

The score of a pair is the logit of one token behind it ("yes"), less the logit of another ("no").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from deployments.config import ModelConfig
from deployments.contract.labels import Function
from deployments.errors import LoadError
from deployments.text.module_files import ModuleFiles

_HINT = "to generate text with it, set `task: text-generation`"
_FUNCTIONS: Mapping[str, Function] = {"Sigmoid": "sigmoid", "Identity": "none"}  # torch's activations
_OF_TOKENIZATION = ("padding", "truncation", "max_length", "return_tensors")
# Templates with these read the content of a message as a list of parts.
_STRUCTURED = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")


@dataclass(frozen=True, slots=True)
class LogitScore:
    """What the files say.

    Attributes:
        true_token: id of the token whose logit is the score.
        false_token: id of the token whose logit is subtracted; None for none.
        function: to scores, by default.
        prompt: an instruction, or "".
        message_format: how a pair becomes messages for the chat template; None: pairs are tokenized as pairs.
        template_options: of the chat template.
        restores_end: whether the template's end is kept when a pair is truncated.
        max_length: maximum number of tokens, or None.
    """

    true_token: int
    false_token: int | None
    function: Function = "sigmoid"
    prompt: str = ""
    message_format: str | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    restores_end: bool = True
    max_length: int | None = None


def is_cross_encoder(config: ModelConfig) -> bool:
    """Whether sentence-transformers wrote the checkpoint as a CrossEncoder, which scores pairs."""
    files = ModuleFiles(config)
    return bool(files.modules) and files.settings.get("model_type") == "CrossEncoder"


def has_logit_score(config: ModelConfig) -> bool:
    """Whether it scores them by the logits of tokens."""
    return is_cross_encoder(config) and "LogitScore" in ModuleFiles(config).kinds


def read_logit_score(config: ModelConfig) -> LogitScore:
    """Read `modules.json` and the files that it names.

    Raises:
        LoadError: the files require something that is not served, or a file is missing.
    """
    files = ModuleFiles(config)
    if files.kinds != ["Transformer", "LogitScore"]:
        raise files.unsupported(f"has modules in the order {', '.join(files.kinds)}", _HINT)
    score, settings, transformer = files.required(files.modules[1].folder), files.settings, files.transformer
    processing = transformer.get("processing_kwargs") or {}
    message = (transformer.get("modality_config") or {}).get("message")
    options = dict(processing.get("chat_template") or {})
    restores_end = options.pop("restore_suffix", True)
    lengths = [options.get("max_length"), (processing.get("text") or {}).get("max_length")]
    return LogitScore(
        true_token=score["true_token_id"],
        false_token=score.get("false_token_id"),
        function=_function(files, settings.get("activation_fn")),
        prompt=(settings.get("prompts") or {}).get(settings.get("default_prompt_name")) or "",
        message_format=None if message is None else message.get("format", "auto"),
        template_options={name: value for name, value in options.items() if name not in _OF_TOKENIZATION},
        restores_end=restores_end,
        max_length=next((length for length in [*lengths, transformer.get("max_seq_length")] if length), None),
    )


def _function(files: ModuleFiles, activation: str | None) -> Function:
    if activation is None:
        return "sigmoid"
    name = activation.rpartition(".")[2]
    if not activation.startswith("torch.") or name not in _FUNCTIONS:
        raise LoadError(
            f"{files.config.model}: the activation {activation} is not supported for rerankers; set `activation_fn` to "
            "torch.nn.modules.activation.Sigmoid or torch.nn.modules.linear.Identity"
        )
    return _FUNCTIONS[name]


class PairTemplate:
    """Writes a pair as the text that the model reads, with the checkpoint's chat template.

    Args:
        tokenizer: with a chat template whose roles are `query` and `document`.
        score: what the files say; `message_format` is not None.
        name: the checkpoint's.

    Attributes:
        end: tokens at the end of every text, whatever the pair: truncation must not take them.

    Raises:
        LoadError: there is no template, it fails, or it ignores the query or the document.
    """

    def __init__(self, tokenizer: Any, score: LogitScore, name: str) -> None:
        self._tokenizer = tokenizer
        self._options = score.template_options
        self._prompt = score.prompt
        self._is_structured = score.message_format == "structured" or (
            score.message_format != "flat" and any(part in str(tokenizer.chat_template) for part in _STRUCTURED)
        )
        self._require_roles(name)
        self.end = self._end() if score.restores_end else []

    def __call__(self, query: str, document: str) -> str:
        """The text of a pair."""
        contents = [("query", query), ("document", document)]
        if self._prompt:
            contents.insert(0, ("system", self._prompt))
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if self._is_structured else text}
            for role, text in contents
        ]
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, **self._options)
        return text

    def _require_roles(self, name: str) -> None:
        try:
            base, *varied = [self(*pair) for pair in (("alpha", "bravo"), ("charlie", "bravo"), ("alpha", "foxtrot"))]
        except Exception as error:  # templates fail in many ways
            raise LoadError(f"{name}: the chat template fails on a pair ({error})") from error
        if base in varied:
            raise LoadError(f"{name}: the chat template does not write the roles `query` and `document`")

    def _end(self) -> list[int]:
        texts = [self(text, text) for text in ("0", "1 2 3 4")]
        one, other = (self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        same = list(takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))
        return one[len(one) - len(same) :] if 0 < len(same) < min(len(one), len(other)) else []
