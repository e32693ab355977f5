"""The benchmarks: `python -m loadtests.bench NAME`."""
