"""The key for a service that asks for one. From the environment: a list of processes shows what stands in a command."""

import os

ENVIRONMENT = "AUTOMODEL_SERVE_API_KEY"


def authorization() -> dict[str, str]:
    """The header that carries it; none where there is no key."""
    key = os.environ.get(ENVIRONMENT)
    return {"Authorization": f"Bearer {key}"} if key else {}


def to_environment() -> dict[str, str]:
    """For a process that is to have the key, too."""
    key = os.environ.get(ENVIRONMENT)
    return {ENVIRONMENT: key} if key else {}
