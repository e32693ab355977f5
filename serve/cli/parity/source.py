"""A checkpoint as transformers itself loads it: none of this project's code for loading or preparing is used."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.checkpoints.files import read_adapter, source_of
from deployments.config import ModelConfig
from deployments.media.audio import read_audio
from deployments.media.content import Media
from deployments.media.limits import MediaLimits


class NoReference(Exception):
    """transformers cannot be asked the same; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint and how it is served.

    Attributes:
        config: the model's configuration.
        about: the service's description of the model (`GET /tasks/<task>/<model>`).
    """

    config: ModelConfig
    about: Mapping[str, Any]

    @property
    def place(self) -> dict[str, Any]:
        """The arguments of `from_pretrained` that name the checkpoint.

        Raises:
            NoReference: it is an adapter.
        """
        if read_adapter(self.config.model, self.config.revision) is not None:
            raise NoReference("the checkpoint is an adapter")
        source = source_of(self.config.model, self.config.revision)
        return {"pretrained_model_name_or_path": source, "revision": self.config.revision}

    @property
    def device(self) -> str:
        """The model's device as served, if this machine has one."""
        import torch

        return "cuda" if self.about.get("device") == "cuda" and torch.cuda.is_available() else "cpu"

    @property
    def dtype(self) -> str:
        """As served; float32 where a build computes in another one, whose difference from that is measured."""
        return "float32" if self.about.get("backend_agreement") else str(self.about["dtype"])

    @property
    def cut(self) -> dict[str, Any]:
        """A tokenizer's arguments that cut a text to the length that is served."""
        length = self.about.get("max_length")
        return {} if length is None else {"truncation": True, "max_length": length}

    def model(self, auto_model: str) -> Any:
        """The model by a class of transformers, in eval mode, in `dtype`."""
        import transformers

        loaded = getattr(transformers, auto_model).from_pretrained(**self.place, dtype=self.dtype)
        return loaded.eval().to(self.device)

    def processor(self, auto_processor: str) -> Any:
        """Its tokenizer or processor by a class of transformers; of image processors, the one of Pillow."""
        import transformers

        options = {"backend": "pil"} if auto_processor == "AutoImageProcessor" else {}
        return getattr(transformers, auto_processor).from_pretrained(**self.place, **options)

    def pipeline(self, name: str, **options: Any) -> Any:
        """transformers' pipeline for the checkpoint."""
        import transformers

        place = self.place
        model, revision = place["pretrained_model_name_or_path"], place["revision"]
        return transformers.pipeline(
            name, model=model, revision=revision, device=self.device, dtype=self.dtype, **options
        )


def picture(inputs: str) -> Any:
    """An image of a request, as transformers' pipelines open it."""
    from PIL import Image
    from transformers.image_utils import load_image

    return load_image(Image.open(io.BytesIO(base64.b64decode(inputs))))


def samples(inputs: str, rate: int) -> Any:
    """A recording of a request: `[samples]` at `rate` per second. Files are decoded as they are served."""
    return read_audio(Media(base64.b64decode(inputs)), rate, MediaLimits())
