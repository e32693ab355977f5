"""The plots of a load test."""
