"""Processes that the load tests and benchmarks start, and what they use."""
