"""What makes the repository and is no part of the product: training recipes, the documentation's site."""
