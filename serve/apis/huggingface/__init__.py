"""The paths below a model's URL that Hugging Face's clients use."""
