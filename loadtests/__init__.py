"""What puts load on the service: locust's traffic and the benchmarks. Never imported by the service."""
