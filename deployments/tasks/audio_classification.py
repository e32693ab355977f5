"""audio-classification: labels and scores for a recording (`AutoModelForAudioClassification`)."""

from collections.abc import Hashable, Sequence
from typing import Any

from pydantic import Field

from deployments.audio.task import EXAMPLE, AudioTask
from deployments.contract.labels import Label, LabelParameters, apply_function, best, default_function
from deployments.contract.task import Prepared, RequestBody, Row
from deployments.media.content import Media


class Request(RequestBody):
    inputs: Media | list[Media] = Field(description="A recording (base64 or data URL), or a list of recordings.")
    parameters: LabelParameters = LabelParameters()


class AudioClassification(AudioTask[Request, list[Label]]):
    """The best labels of a recording, best first; for a list of recordings, a list per recording."""

    name = "audio-classification"
    purpose = "Classify recordings: keywords, machine sounds, language or speaker traits."
    auto_model = "AutoModelForAudioClassification"
    architectures = ("ForSequenceClassification", "ForAudioClassification")
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
        function = parameters.function_to_apply or default_function(config, sigmoid_for_one=False)
        return best(apply_function(outputs[0], function), config.id2label, parameters.top_k)

    def sized_example(self, words: int) -> Request:
        return Request(inputs=self.sample(words))
