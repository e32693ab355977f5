"""Protocols of other services: each translates to the tasks' own requests and back; none has a model."""
