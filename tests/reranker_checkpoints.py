"""Small rerankers over a causal model, as sentence-transformers writes them, and the scores that it computes.

The scores are in `reranker_scores.json` beside this file; `python -m tests.reranker_checkpoints` writes them, where
sentence-transformers is installed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.checkpoints import SENTENCES
from tests.embedding_checkpoints import qwen3, record, rounded, write_modules

SCORES = Path(__file__).with_name("reranker_scores.json")
PAIRS = [
    ("Where is the bridge?", SENTENCES[0]),
    ("Where is the bridge?", SENTENCES[1]),
    ("One", "Two"),
    ("UPPER 🙂", SENTENCES[11]),
    ("a long one", " ".join(SENTENCES[:6])),
]
FLAT = (
    "{% for message in messages %}{% if message.role == 'system' %}<s>system: {{ message.content }}</s>{% endif %}"
    "{% endfor %}<s>user: "
    "<Query>{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n"
    "<Document>{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}</s>\n"
    "{% if add_generation_prompt %}assistant: the answer is {% endif %}"
)
STRUCTURED = (
    "{% for message in messages %}<s>{{ message.role }}: {{ message.content[0].text }}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
_PACKAGE = "sentence_transformers.cross_encoder.modules.{}"
_LOGITS = {"method": "forward", "method_output_name": "logits"}

Form = Callable[[Path], None]


def reranker(
    template: str | None = None,
    message_format: str | None = None,
    settings: Mapping[str, Any] | None = None,
    score: Mapping[str, Any] | None = None,
    **transformer: Any,
) -> Form:
    """A reranker.

    Args:
        template: chat template of the tokenizer.
        message_format: how pairs become messages; None: they are tokenized as pairs.
        settings: in `config_sentence_transformers.json`.
        score: configuration of LogitScore.
        transformer: in `sentence_bert_config.json`.
    """

    def make(folder: Path) -> None:
        qwen3(folder)
        if template is not None:
            (folder / "chat_template.jinja").write_text(template)
        modalities = {"text": _LOGITS} | (
            {"message": _LOGITS | {"format": message_format}} if message_format is not None else {}
        )
        logit_score = {"true_token_id": 77, "false_token_id": 91, **(score or {})}
        write_modules(folder, [("Transformer", {}), ("LogitScore", logit_score)], _PACKAGE)
        files = {
            "config_sentence_transformers.json": {"model_type": "CrossEncoder", **(settings or {})},
            "sentence_bert_config.json": {
                "transformer_task": "text-generation",
                "modality_config": modalities,
                "module_output_name": "causal_logits",
                **transformer,
            },
        }
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))

    return make


_GENERATE = {"chat_template": {"add_generation_prompt": True}}
_PROMPT = {"prompts": {"query": "Say whether the document answers the query."}, "default_prompt_name": "query"}
_SIGMOID = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
_IDENTITY = {"activation_fn": "torch.nn.modules.linear.Identity"}
FORMS: Mapping[str, Form] = {
    "template": reranker(FLAT, "flat", _PROMPT | _SIGMOID, processing_kwargs=_GENERATE),
    "template, logits": reranker(FLAT, "flat", _IDENTITY),
    "parts": reranker(STRUCTURED, "structured", _PROMPT | _IDENTITY, processing_kwargs=_GENERATE),
    "cut": reranker(FLAT, "flat", _IDENTITY, processing_kwargs=_GENERATE, max_seq_length=60),
    "cut, its end as well": reranker(
        FLAT,
        "flat",
        _IDENTITY,
        processing_kwargs={"chat_template": {"add_generation_prompt": True, "restore_suffix": False}},
        max_seq_length=40,
    ),
    "pairs": reranker(None, None, _PROMPT | _IDENTITY, max_seq_length=70),
    "one token": reranker(None, None, _SIGMOID, {"false_token_id": None}),
}
"""By name."""


if __name__ == "__main__":
    record(
        SCORES,
        FORMS,
        lambda package, folder: rounded(package.CrossEncoder(folder, device="cpu").predict(PAIRS, batch_size=1)),
    )
