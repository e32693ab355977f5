"""`automodel-serve apply`: changes a running service, model by model."""
