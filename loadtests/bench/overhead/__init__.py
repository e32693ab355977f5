"""The cost of a request apart from the model, compared with other servers."""
