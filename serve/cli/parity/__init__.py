"""`automodel-serve parity`: a service's answers compared with those of transformers."""
