"""Throughput of image and audio tasks, compared with offline batches."""
