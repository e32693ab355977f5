"""`automodel-serve top`: what a running service does, as a table in the terminal."""
