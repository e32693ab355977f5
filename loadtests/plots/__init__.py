"""The plots of a load test's report."""
