"""Locust's users. Only locust's process imports these modules: importing locust patches the standard library."""
