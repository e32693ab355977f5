"""The labels of a zero-shot request, and the sentences that are made of them."""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from serve.apis.huggingface.hypothesis_template import check_template, hypothesis

Labels = Annotated[list[str], Field(min_length=1)]


class CandidateLabels(BaseModel):
    """The parameters of all zero-shot views; each has its own default template."""

    model_config = ConfigDict(extra="forbid")

    candidate_labels: Labels = Field(validation_alias=AliasChoices("candidate_labels", "candidateLabels"))
    hypothesis_template: str

    @field_validator("candidate_labels", mode="before")
    @classmethod
    def _separated(cls, labels: Any) -> Any:
        """Older clients send the labels as one comma-separated string."""
        return [label.strip() for label in labels.split(",") if label.strip()] if isinstance(labels, str) else labels

    @field_validator("hypothesis_template")
    @classmethod
    def _takes_a_label(cls, template: str) -> str:
        check_template(template)
        return template

    def hypotheses(self) -> list[str]:
        """A sentence for each label.

        Raises:
            TooLarge: one is longer than a text may be.
        """
        return [hypothesis(self.hypothesis_template, label) for label in self.candidate_labels]

    def ranked(self, scores: list[float]) -> list[dict[str, Any]]:
        """`[{"label", "score"}]`, best first; ties in the order of labels."""
        pairs = sorted(zip(self.candidate_labels, scores, strict=True), key=lambda pair: -pair[1])
        return [{"label": label, "score": score} for label, score in pairs]
