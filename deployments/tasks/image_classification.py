"""image-classification: labels and scores for an image (`AutoModelForImageClassification`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import Field

from deployments.contract.labels import Label, LabelParameters, apply_function, best, default_function
from deployments.contract.task import Prepared, RequestBody, Row
from deployments.image.task import EXAMPLE, ImageTask, sample_image
from deployments.media.content import Media


class Request(RequestBody):
    inputs: Media | list[Media] = Field(description="An image (base64 or data URL), or a list of images.")
    parameters: LabelParameters = LabelParameters()


class ImageClassification(ImageTask[Request, list[Label]]):
    """The best labels of an image, best first; for a list of images, a list per image."""

    name = "image-classification"
    purpose = "Classify images: sorting uploads, moderation, quality control."
    auto_model = "AutoModelForImageClassification"
    architectures = (
        "ForImageClassification",
        "ForImageClassificationWithTeacher",
        "ForImageClassificationConvProcessing",
        "ForImageClassificationFourier",
        "ForImageClassificationLearned",
    )
    request = Request
    response = list[Label] | list[list[Label]]
    example = {"inputs": EXAMPLE}

    def preprocess(self, request: Request) -> Prepared:
        assert isinstance(request.inputs, Media)
        return self.prepare(request.inputs)

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        return list(self.run(rows).array("logits"))

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> Any:
        config, parameters = self.checkpoint.model.config, request.parameters
        function = parameters.function_to_apply or default_function(config, sigmoid_for_one=True)
        return best(apply_function(outputs[0], function), config.id2label, parameters.top_k)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=sample_image(16 + words))
