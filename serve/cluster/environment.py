"""What Ray and Serve read from the environment, in every process of a cluster and before it starts."""

from serve.config.service import Placement

EVERYWHERE = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",  # no line per request is written, so none need be held back
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.middleware.ray_proxy:middlewares",  # no client steers Ray
    "RAY_metrics_report_interval_ms": "3000",  # a replica that is killed loses what it counted since; Ray: 10 s
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 would let everything else on the machine go before the models
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

PLACEMENT: dict[Placement, dict[str, str]] = {
    "spread": {},
    "pack": {"RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY": "1"},
}
"""For all models of a cluster: Serve has one way to choose nodes."""
