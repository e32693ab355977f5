"""Names of what spans tell: OpenTelemetry's semantic conventions, ours below `automodel.`. Never inputs or keys."""

from typing import Any

from deployments.task import Task

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


def of_model(name: str, task: type[Task[Any, Any]]) -> dict[str, str]:
    """What every span of a model says."""
    return {OPERATION: task.operation or task.name, PROVIDER: PROVIDER_NAME, MODEL: name, TASK: task.name}
