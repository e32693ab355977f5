"""The model side: tasks, batching and replicas, independent of HTTP routes, gateways and configuration files."""
