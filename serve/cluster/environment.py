"""Environment variables of Ray and Serve, for every process of a cluster. They must be set before Ray starts."""

from serve.config.service import Placement

RAY_ENVIRONMENT = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",  # Serve logs nothing per request, so nothing need be buffered
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.middleware.ray_proxy:middlewares",  # clients cannot control Ray
    # Bodies and answers between gateway and replica. Ray's default is 4 MiB; `limits.max_body_mb` is ours.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    # How often Serve's controller looks at all replicas. Ray's 0.1 takes a seventh of a core for thirteen idle models.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    # Ray's statistics of its event loops, written to its logs: a tenth of what its idle processes cost.
    "RAY_event_stats": "0",
    # How often Serve passes its counts on to Ray, which exports them every three seconds; Serve's default: 100.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # Ray looks for new log files ten times a second; with more files than this, every so many seconds. It reads a new
    # one from its beginning, so that no line is lost.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "1",
    "RAY_metrics_report_interval_ms": "3000",  # a killed replica loses what it counted since; Ray's default: 10 s
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 would give everything else on the machine priority over the models
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

# For all models of a cluster: Serve has one strategy to choose nodes.
PLACEMENT: dict[Placement, dict[str, str]] = {
    "spread": {},
    "pack": {"RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY": "1"},
}
