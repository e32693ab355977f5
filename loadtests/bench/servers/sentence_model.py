"""MiniLM as a page of its documentation runs it: tokenize with padding, forward, mean over the tokens, length one."""

from typing import Any


class SentenceModel:
    """What the competitors serve. One compute thread."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def embed(self, texts: list[str]) -> list[list[float]]:
        import torch

        inputs = self._tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        vectors = (hidden * mask).sum(1) / mask.sum(1)
        result: list[list[float]] = torch.nn.functional.normalize(vectors).tolist()
        return result
