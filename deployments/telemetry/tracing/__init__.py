"""Traces: spans of requests and batches, sent to an OpenTelemetry collector. Without one, OpenTelemetry is not
imported."""
