"""The model side: tasks, batching, replicas. Knows nothing of HTTP routes, gateways or configuration files."""
