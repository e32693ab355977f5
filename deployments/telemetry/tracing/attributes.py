"""Names of span attributes: OpenTelemetry's semantic conventions, ours below `automodel.`. Never inputs or API keys."""

import time

from deployments.errors import ServiceError

# HTTP
METHOD = "http.request.method"
STATUS = "http.response.status_code"
ROUTE = "http.route"
PATH = "url.path"
SCHEME = "url.scheme"
ERROR = "error.type"

# GenAI
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
IS_STREAM = "gen_ai.request.stream"
TOKENS_IN = "gen_ai.usage.input_tokens"
TOKENS_OUT = "gen_ai.usage.output_tokens"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"

# Ours
TASK = "automodel.task"
REQUEST_ID = "automodel.request_id"
ITEMS = "automodel.items"
BATCH_ROWS = "automodel.batch.rows"
BATCH_COST = "automodel.batch.cost"
BATCH_ITEMS = "automodel.batch.items"
PADDING = "automodel.padding_ratio"
FIRST_TOKEN = "automodel.first_token"  # an event

PROVIDER_NAME = "automodel-serve"


def model_attributes(model: str, task: str, operation: str | None) -> dict[str, str]:
    """Attributes of every span of a model.

    Args:
        model: its name.
        task: the name of its task.
        operation: the conventions' name of the task; None if they have none.
    """
    return {OPERATION: operation or task, PROVIDER: PROVIDER_NAME, MODEL: model, TASK: task}


def unix_ns(moment: float) -> int:
    """A time of `time.monotonic()` as nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)


def error_type(error: BaseException) -> str:
    """The `error_type` of a service error, the class name of others."""
    return error.error_type if isinstance(error, ServiceError) else type(error).__qualname__
