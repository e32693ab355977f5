"""References of models that read texts, by transformers' pipelines where there are."""

import json
from collections.abc import Mapping
from typing import Any

from deployments.checkpoints.files import find_file
from serve.cli.parity import sentence_transformers
from serve.cli.parity.calls import Answer, run, softmax
from serve.cli.parity.source import NoReference, Source
from serve.cli.parity.vectors import pooled

MAX_ANSWER = 15  # tokens of an answer to a question
WINDOW = 384  # tokens of a question and its context


def text_vectors(source: Source) -> Answer:
    """By sentence-transformers if it wrote the checkpoint and is installed; else by `FeatureExtractionPipeline`: hidden
    states `[tokens, dim]`, or the described pooling of them, `[dim]`."""
    import numpy as np

    if "Pooling" in _modules(source) and source.config.pooling is None and sentence_transformers.is_installed():
        return sentence_transformers.vectors(source)
    _require_plain_modules(source)
    model = source.model("AutoModel")
    if model.config.model_type in ("t5", "mt5", "umt5"):  # their encoder alone is served
        model = source.model("AutoModelForTextEncoding")
    import transformers

    hidden = transformers.pipeline(
        "feature-extraction", model=model, tokenizer=source.processor("AutoTokenizer"), device=source.device
    )

    def answer(text: str) -> Any:
        return pooled(np.asarray(hidden(text, tokenize_kwargs=source.cut)[0]), source.about.get("pooling"))

    return answer


def _require_plain_modules(source: Source) -> None:
    """Refuse files of sentence-transformers that change the vectors in another way than pooling.

    Raises:
        NoReference: there are such.
    """
    others = sorted(_modules(source) - {"Transformer", "Pooling", "Normalize"})
    if others and source.config.pooling is None:
        raise NoReference(f"modules.json has {', '.join(others)}, which wants sentence-transformers as its reference")
    if (_read(source, "config_sentence_transformers.json") or {}).get("default_prompt_name"):
        raise NoReference("a prompt is before every text, which wants sentence-transformers as its reference")
    if (_read(source, "sentence_bert_config.json") or {}).get("do_lower_case"):
        raise NoReference("texts are read in lower case, which wants sentence-transformers as its reference")


def _modules(source: Source) -> set[str]:
    """The modules that sentence-transformers wrote; none in a checkpoint of transformers alone."""
    return {module["type"].rsplit(".", 1)[-1] for module in _read(source, "modules.json") or ()}


def _read(source: Source, name: str) -> Any:
    """A file of the checkpoint, as JSON has it; None if there is none."""
    path = find_file(source.config.model, name, source.config.revision)
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def text_labels(source: Source) -> Answer:
    """By `TextClassificationPipeline`: every label with its score."""
    classify = source.pipeline("text-classification")

    def answer(item: Any) -> Any:
        return classify([item] if isinstance(item, dict) else item, top_k=None, **source.cut)

    return lambda item: answer(item)[0] if isinstance(item, dict) else answer(item)


def entities(source: Source) -> Answer:
    """By `TokenClassificationPipeline`: entities with scores and offsets, of texts that it does not cut."""
    classify = source.pipeline("token-classification", aggregation_strategy="simple")

    def answer(text: str) -> Any:
        if len(classify.tokenizer(text)["input_ids"]) > (source.about.get("max_length") or float("inf")):
            raise NoReference("the pipeline cuts the text, which is served in windows")
        return [{**each, "score": float(each["score"])} for each in classify(text)]

    return answer


def spans(source: Source) -> Answer:
    """The best span by P(start) x P(end) over the context and CLS, of a context that needs no windows."""
    import numpy as np

    tokenizer, model = source.processor("AutoTokenizer"), source.model("AutoModelForQuestionAnswering")
    side = 1 if tokenizer.padding_side == "right" else 0

    def answer(item: Mapping[str, str]) -> Any:
        pair = (item["question"], item["context"])
        encoding = tokenizer(*(pair if side else pair[::-1]), return_tensors="pt", return_offsets_mapping=True)
        offsets = encoding.pop("offset_mapping")[0].tolist()
        if len(offsets) > min(WINDOW, source.about.get("max_length") or WINDOW):
            raise NoReference("the context is read in windows")
        output = run(model, encoding)
        context = np.array([number == side for number in encoding.sequence_ids(0)])
        readable = context | (encoding["input_ids"][0].numpy() == tokenizer.cls_token_id) & (
            np.array(encoding.sequence_ids(0), dtype=object) == None  # noqa: E711
        )
        start, end = (
            softmax(np.where(readable, logits[0].float().cpu().numpy(), -np.inf)) * context
            for logits in (output.start_logits, output.end_logits)
        )
        scores = np.tril(np.triu(np.outer(start, end)), MAX_ANSWER - 1)
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        begin, stop = offsets[first][0], offsets[last][1]
        span = {"start": begin, "end": stop, "answer": item["context"][begin:stop]}
        return {"score": float(scores[first, last]), **span}

    return answer


def fillings(source: Source) -> Answer:
    """By `FillMaskPipeline`: the five best tokens for each mask."""
    fill = source.pipeline("fill-mask")

    def answer(text: str) -> Any:
        ids = fill.tokenizer(text, **source.cut)["input_ids"]
        if ids.count(fill.tokenizer.mask_token_id) < text.count(fill.tokenizer.mask_token):
            raise NoReference("a mask is beyond the model's maximum length")
        return fill(text, tokenizer_kwargs=source.cut)

    return answer


def best_choices(source: Source) -> Answer:
    """Softmax over the logits of the choices, each run by itself, so without padding."""
    import numpy as np

    tokenizer, model = source.processor("AutoTokenizer"), source.model("AutoModelForMultipleChoice")

    def answer(item: Mapping[str, Any]) -> Any:
        pairs = [tokenizer(item["prompt"], choice, return_tensors="pt", **source.cut) for choice in item["choices"]]
        nested = [{name: value[None] for name, value in pair.items()} for pair in pairs]
        scores = softmax(np.array([float(run(model, each).logits.reshape(())) for each in nested]))
        ranked = sorted(enumerate(scores), key=lambda each: -each[1])
        return [{"choice": item["choices"][index], "index": index, "score": float(score)} for index, score in ranked]

    return answer
