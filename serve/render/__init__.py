"""A service written down for Kubernetes."""
