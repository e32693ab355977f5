"""What is sent: kinds of callers, payloads, and texts and media of realistic sizes."""
