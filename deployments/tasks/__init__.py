"""The tasks: one file per transformers `AutoModel…` class. `deployments.registry` names them."""
