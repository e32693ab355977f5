"""Load tests and benchmarks of the service. The service never imports them."""
