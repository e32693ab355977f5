"""Train `facts-qa`: BERT-tiny points at the answer in generated passages of facts about people (`passages.py`).

Measured as exact match on passages whose names, places and other values were never seen in training.
"""

from collections.abc import Iterator
from typing import Any

from tools.training.loop import Batch, Measurement, Recipe, arguments, fit, load_body, save
from tools.training.passages import Example, Passages

STEPS = 2400
LONGEST = 192
UNANSWERABLE = 0.1
TESTED = 1000


def encode(tokenizer: Any, examples: list[Example]) -> Batch:
    """Return the model's input for a batch; the answer of a question without one is [CLS], token 0, as in SQuAD 2."""
    import torch

    questions, passages = [example.question for example in examples], [example.passage for example in examples]
    inputs = tokenizer(
        questions, passages, padding=True, truncation="only_second", max_length=LONGEST, return_tensors="pt"
    )
    starts, ends = [], []
    for row, example in enumerate(examples):
        first, last = example.start, (example.start or 0) + len(example.answer) - 1
        starts.append(0 if first is None else inputs.char_to_token(row, first, 1) or 0)
        ends.append(0 if first is None else inputs.char_to_token(row, last, 1) or 0)
    return {**inputs, "start_positions": torch.tensor(starts), "end_positions": torch.tensor(ends)}


def answer(model: Any, tokenizer: Any, example: Example, may_refuse: bool) -> str:
    """Return the best span of the passage, or "" if the model may refuse and scores [CLS] higher than any span."""
    import torch

    inputs = tokenizer(
        example.question, example.passage, truncation="only_second", max_length=LONGEST, return_offsets_mapping=True,
        return_tensors="pt",
    )  # fmt: skip
    offsets = inputs.pop("offset_mapping")[0]
    in_passage = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])
    with torch.inference_mode():
        output = model(**inputs)
    start, end = (logits[0].masked_fill(~in_passage, -1e9) for logits in (output.start_logits, output.end_logits))
    scores = (start[:, None] + end[None, :]).masked_fill(~torch.ones(len(start), len(start)).triu().bool(), -1e9)
    if may_refuse and output.start_logits[0, 0] + output.end_logits[0, 0] > scores.max():
        return ""
    first, last = divmod(int(scores.argmax()), len(start))
    return example.passage[int(offsets[first, 0]) : int(offsets[last, 1])]


def exact_match(model: Any, tokenizer: Any, passages: Passages, may_refuse: bool = False) -> float:
    """Return the share of examples answered with exactly the right characters; a refusal is the answer ""."""
    examples = [passages.example() for _ in range(TESTED)]
    return sum(answer(model, tokenizer, example, may_refuse) == example.answer for example in examples) / TESTED


def batches(tokenizer: Any, passages: Passages) -> Iterator[Batch]:
    """Yield training batches of 32 without end."""
    while True:
        yield encode(tokenizer, [passages.example() for _ in range(32)])


def measure(model: Any, tokenizer: Any) -> Measurement:
    """Measure exact match on unseen values, and on what else may differ from training."""
    unseen = Passages(seed=1001, held_out=True)
    reworded = Passages(seed=1002, held_out=True, unseen_questions=True)
    seen = Passages(seed=1003, held_out=False)
    unanswerable = Passages(seed=1004, held_out=True, unanswerable=1.0)
    unseen_again = Passages(seed=1001, held_out=True)
    details: dict[str, float | int | str] = {
        "with question phrasings unseen too": exact_match(model, tokenizer, reworded),
        "with values seen in training": exact_match(model, tokenizer, seen),
        "refusing questions without an answer": exact_match(model, tokenizer, unanswerable, may_refuse=True),
        "answering the others when it may refuse": exact_match(model, tokenizer, unseen_again, may_refuse=True),
    }
    value = exact_match(model, tokenizer, unseen)
    return Measurement("exact match", value, TESTED, "generated passages with unseen names and values", details)


def main() -> None:
    """Train, measure and save."""
    from transformers import AutoModelForQuestionAnswering

    options = arguments("Train the question-answering model.").parse_args()
    recipe = Recipe(steps=options.steps or STEPS, rate=1e-3, dropout=0.1, seed=options.seed)
    model, tokenizer = load_body(AutoModelForQuestionAnswering, recipe)
    passages = Passages(recipe.seed, held_out=False, unanswerable=UNANSWERABLE)
    fit(model, batches(tokenizer, passages), recipe)
    save("facts-qa", model, recipe, measure(model, tokenizer), options.out)


if __name__ == "__main__":
    main()
