"""The servers that the benchmarks compare."""
