"""Dashboards and rules, made from the declarations of the metrics."""
