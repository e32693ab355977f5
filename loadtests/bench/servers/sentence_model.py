"""What the other servers run: MiniLM as in the model's documentation, or nothing."""

from typing import Any


class SentenceModel:
    """Tokenization with padding, forward, mean pooling, normalization. One compute thread."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def __call__(self, texts: list[str]) -> list[Any]:
        import torch

        inputs = self._tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        vectors = (hidden * mask).sum(1) / mask.sum(1)
        result: list[Any] = torch.nn.functional.normalize(vectors).tolist()
        return result


class NoModel:
    """Returns the length of each text."""

    def __call__(self, texts: list[str]) -> list[Any]:
        return [len(text) for text in texts]


def sentence_model(folder: str | None) -> SentenceModel | NoModel:
    return NoModel() if folder is None else SentenceModel(folder)
