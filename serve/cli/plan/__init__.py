"""`automodel-serve plan`: the resources that a configuration needs."""
