"""How the trained weights in `deployments/zoo/weights` were made; run by hand, never by the service."""
