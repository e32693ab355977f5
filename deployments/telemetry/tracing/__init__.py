"""Traces: spans of requests and batches, sent to an OpenTelemetry collector. Where nothing is traced, nothing
of OpenTelemetry's is imported."""
