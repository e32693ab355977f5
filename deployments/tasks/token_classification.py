"""token-classification: entities in a text, such as names and addresses (`AutoModelForTokenClassification`).

Answers are those of transformers' TokenClassificationPipeline (5.23) for texts that fit the model. The pipeline
truncates a long text unless it is given a `stride`; then it finds entities in each window, and of two that overlap it
drops the shorter one, with the words that only that one has. Here long texts are always split into overlapping windows,
and entities are found in the tokens of the whole text, so none is cut or lost at a window's edge.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from deployments.checkpoints.load import Checkpoint
from deployments.contract.labels import softmax
from deployments.contract.task import Body, Prepared, RequestBody, Row
from deployments.text.entities import Strategy, Token, find_entities, list_tokens
from deployments.text.task import TextTask, filler, require_text
from deployments.text.windows import Windows, cores, split_text

if TYPE_CHECKING:
    from tokenizers import Encoding


class Parameters(Body):
    aggregation_strategy: Strategy = Field(
        default="simple",
        description="none: single tokens; simple: groups of tokens; first, average, max: groups of words.",
    )
    ignore_labels: list[str] = Field(default=["O"], description="Labels to omit, without the prefixes B- and I-.")
    stride: int | None = Field(
        default=None,
        ge=0,
        description="Overlap in tokens of the windows of a long text; default: a quarter of a window.",
    )


class Request(RequestBody):
    inputs: str | list[str] = Field(description="A text or a list of texts, of any length.")
    parameters: Parameters = Parameters()


class Entity(BaseModel):
    """Adjacent tokens of one label; `start` and `end` are character offsets."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class TaggedToken(BaseModel):
    """A token, for aggregation_strategy none; `index` counts tokens, special tokens included."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class TokenClassification(TextTask[Request, list[Any]]):
    """The entities of each text, in text order."""

    name = "token-classification"
    purpose = "Find names, places, addresses and other entities in a text, with their offsets."
    aliases = ("ner",)
    auto_model = "AutoModelForTokenClassification"
    architectures = ("ForTokenClassification",)
    request = Request
    response = list[Entity] | list[TaggedToken] | list[list[Entity]] | list[list[TaggedToken]]
    example = {"inputs": "Write to Anna Lindqvist, 14 Mill Lane, Oxford, or call 01865 496 0000."}

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        model = self.tokenizer.backend_tokenizer.model
        self._marks_subwords = bool(getattr(model, "continuing_subword_prefix", None))

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, str)
        require_text(request.inputs, "inputs")
        windows = split_text(self, request.inputs, request.parameters.stride)
        return Prepared(windows.rows, context=windows)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        batch = self.run(rows)
        logits = batch.array("logits")
        return [logits[i, :length] for i, length in enumerate(batch.lengths)]

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> list[Any]:
        assert isinstance(request.inputs, str)
        windows: Windows = prepared.context
        parameters, labels = request.parameters, self.checkpoint.model.config.id2label
        tokens = self._text_tokens(request.inputs, windows, outputs)
        strategy, ignored = parameters.aggregation_strategy, parameters.ignore_labels
        if strategy == "none":
            return list_tokens(tokens, labels, ignored)
        return find_entities(tokens, strategy, labels, ignored, self.tokenizer.convert_tokens_to_string)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=filler(words))

    def _text_tokens(self, text: str, windows: Windows, outputs: Sequence[Any]) -> list[Token]:
        """The tokens of the whole text, each once, with the scores of the window that sees it best."""
        tokens = [
            list(self._tokens(text, encoding, softmax(logits), index * windows.step))
            for index, (encoding, logits) in enumerate(zip(windows.encodings, outputs, strict=True))
        ]
        window_cores = cores([len(window) for window in tokens], windows.step)
        return [window[i] for window, core in zip(tokens, window_cores, strict=True) for i in core]

    def _tokens(self, text: str, encoding: "Encoding", scores: Any, before: int) -> Iterator[Token]:
        """The text's own tokens in one window that `before` tokens precede; scores `[tokens, labels]`."""
        ids, offsets = encoding.ids, encoding.offsets  # each access makes a new list
        words = self.tokenizer.convert_ids_to_tokens(ids)
        for index, special in enumerate(encoding.special_tokens_mask):
            if special:
                continue
            start, end = offsets[index]
            word, is_subword = words[index], self._is_subword(text, words[index], start, end)
            if ids[index] == self.tokenizer.unk_token_id:
                word, is_subword = text[start:end], False
            yield Token(word, scores[index], start, end, before + index, is_subword)

    def _is_subword(self, text: str, word: str, start: int, end: int) -> bool:
        """Whether a token continues a word, by the pipeline's rules: they decide what `first` and its like answer."""
        if self._marks_subwords:
            return len(word) != end - start  # the mark makes it longer than its text
        return start > 0 and " " not in text[start - 1 : start + 1]
