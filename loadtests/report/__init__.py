"""Reports of load tests and benchmarks: statistics, objectives and targets, tables, HTML, CSV, plots."""
