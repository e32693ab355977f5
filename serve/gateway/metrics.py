"""The gateway's own metrics, and `/metrics`, which has the metrics of all nodes."""

import platform
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.telemetry.meter import Meter
from deployments.telemetry.metrics import BUILD_INFO, GATEWAY_METRICS, GATEWAY_REQUESTS, GATEWAY_SECONDS
from deployments.telemetry.ray_internals import metrics_addresses
from deployments.telemetry.ray_metrics import RayExporter
from serve.config.service import Options
from serve.gateway.merged_metrics import MergedMetrics
from serve.http.messages import Scope
from serve.http.request_context import RequestContext
from serve.middleware.access_log import gateway_request_logger
from serve.middleware.request_context import OnRequestEnd

PATH = "/metrics"
PACKAGES = ("automodel-serve", "ray", "torch", "transformers")
# Path prefixes, and the API to which they belong.
_APIS = {
    "/tasks/": "tasks",
    "/models/": "models",
    "/health/": "health",
    "/v2/rerank": "embeddings_inference",
    "/v2": "open_inference",
    "/v1/models": "pages",
    "/v1/rerank": "embeddings_inference",
    "/v1/": "openai",
    "/embed": "embeddings_inference",
    "/predict": "embeddings_inference",
    "/rerank": "embeddings_inference",
    "/similarity": "embeddings_inference",
    "/tokenize": "embeddings_inference",
    "/decode": "embeddings_inference",
    "/info": "embeddings_inference",
}


class GatewayMetrics:
    """The metrics of one gateway.

    Args:
        options: of the service.
    """

    def __init__(self, options: Options) -> None:
        self._settings = options.metrics
        self._merged = MergedMetrics(metrics_addresses)
        self._meter = Meter(GATEWAY_METRICS, {})
        self._meter.set(BUILD_INFO, 1, *(_version(package) for package in PACKAGES), platform.python_version())
        if options.metrics.enabled:
            self._exporter = RayExporter(self._meter, GATEWAY_METRICS)
        self.on_end: OnRequestEnd = gateway_request_logger(self._count)

    def public(self, others: tuple[str, ...]) -> tuple[str, ...]:
        """Path prefixes that need no key."""
        return (*others, PATH) if self._settings.public else others

    def routes(self) -> list[Route]:
        return [Route(PATH, self._show)]

    async def _show(self, request: Request) -> Response:
        content, content_type = await self._merged.exposition(request.headers.get("accept", ""))
        return Response(content, media_type=content_type)

    def _count(self, scope: Scope, context: RequestContext, seconds: float) -> None:
        api = api_of(scope["path"])
        self._meter.add(GATEWAY_REQUESTS, api, str(context.status))
        self._meter.observe(GATEWAY_SECONDS, seconds, api)


def api_of(path: str) -> str:
    """The API to which a path belongs; "pages" for everything else."""
    return next((api for prefix, api in _APIS.items() if path.startswith(prefix)), "pages")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
