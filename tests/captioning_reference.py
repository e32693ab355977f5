"""What transformers says with a checkpoint that writes about pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers


class Reference:
    """What a checkpoint says when transformers loads and runs it, one picture at a time."""

    def __init__(self, folder: Path, family: str) -> None:
        self.family = family
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        self._images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
        self._both = transformers.AutoProcessor.from_pretrained(folder)
        self.tokenizer = getattr(self._both, "tokenizer", self._both)

    def inputs(self, picture: Any, text: str | None) -> dict[str, Any]:
        """What its family's documentation hands to `generate`."""
        if getattr(self._both, "chat_template", None):
            words = [] if text is None else [{"type": "text", "text": text}]
            return self.chat([{"role": "user", "content": [{"type": "image", "image": picture}, *words]}])
        if self.family == "blip":
            return dict(self._both(images=picture, text=text, return_tensors="pt"))
        if self.family in ("paligemma", "blip-2"):
            marked = ("<image>" if self.family == "paligemma" else "") + (text or "")
            return dict(self._both(images=picture, text=marked, return_tensors="pt"))
        inputs = dict(self._images(images=picture, return_tensors="pt"))
        if text is not None:
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            if self.family == "donut":
                return inputs | {"decoder_input_ids": torch.tensor([ids])}
            name, start = ("input_ids", self.tokenizer.cls_token_id) if self.family == "git" else (
                "decoder_input_ids",
                self.model.generation_config.decoder_start_token_id,
            )  # fmt: skip
            inputs[name] = torch.tensor([[start, *ids]])
        return inputs

    def chat(self, chat: Sequence[Any]) -> dict[str, Any]:
        """The inputs of a chat, whose pictures are decoded."""
        return dict(
            self._both.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        )

    def says(self, inputs: dict[str, Any], **options: Any) -> str:
        """The text of `generate`, the prompt included."""
        with torch.inference_mode():
            output = self.model.generate(**inputs, do_sample=False, **options)[0]
        return str(self.tokenizer.decode(output, skip_special_tokens=True))

    def prompt(self, text: str | None) -> str:
        """What of that text was not written, but read."""
        if text is None or self.family == "llava":
            return "user: " + (text or "") + "\nassistant: " if self.family == "llava" else ""
        return str(self.tokenizer.decode(self.tokenizer(text)["input_ids"], skip_special_tokens=True))
