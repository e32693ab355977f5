"""The service's API key. From the environment: command lines can be read by other users of the machine."""

import os

ENVIRONMENT = "AUTOMODEL_SERVE_API_KEY"


def authorization() -> dict[str, str]:
    """The header with the key; empty without a key."""
    key = os.environ.get(ENVIRONMENT)
    return {"Authorization": f"Bearer {key}"} if key else {}


def to_environment() -> dict[str, str]:
    """The key as an environment variable for a child process."""
    key = os.environ.get(ENVIRONMENT)
    return {ENVIRONMENT: key} if key else {}
