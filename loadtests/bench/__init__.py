"""The benchmarks: what the service costs and how well it batches, beside other ways to serve the same models."""
