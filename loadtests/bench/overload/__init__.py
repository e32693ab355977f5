"""Goodput and latency at up to ten times the capacity, and the recovery."""
