"""HTTP load: when requests are due, how they are sent, what became of them."""
