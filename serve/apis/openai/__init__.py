"""OpenAI's API, as far as the served tasks can answer it."""
