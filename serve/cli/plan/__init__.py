"""What a configuration takes, and whether some workers hold it."""
