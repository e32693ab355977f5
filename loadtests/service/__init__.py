"""The service under load: its models, its metrics, its API key."""
