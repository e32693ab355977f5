"""Throughput of many small requests, compared with offline batches and other servers."""
