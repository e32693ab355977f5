"""What Hugging Face's clients ask for below the URL of a model."""
