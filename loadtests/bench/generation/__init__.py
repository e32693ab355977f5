"""Throughput and latency of text generation, compared with offline batches and other servers."""
