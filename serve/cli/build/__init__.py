"""`automodel-serve build`, and the builds that `up` and `apply` make before they start a model."""
