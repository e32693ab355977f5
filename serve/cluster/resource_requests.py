"""The resources that a replica requests, and why no node has them."""

from collections.abc import Mapping, Sequence

from deployments.config import ModelConfig

Resources = Mapping[str, float]

ACCELERATOR_PREFIX = "accelerator_type:"
_UNITS = {"CPU": "CPU", "GPU": "GPU", "memory": "GiB of memory"}
_TOLERANCE = 1e-6


def resource_request(model: ModelConfig) -> Resources:
    """What one replica requests, under Ray's resource names."""
    resources = model.resources
    request = {"CPU": resources.num_cpus, "GPU": resources.num_gpus}
    if resources.memory_gib is not None:
        request["memory"] = resources.memory_gib * 2**30
    if resources.accelerator_type is not None:
        request[ACCELERATOR_PREFIX + resources.accelerator_type] = 0.001  # Ray's own amount
    return {name: amount for name, amount in request.items() if amount > 0}


def fits(request: Resources, node: Resources) -> bool:
    return all(node.get(name, 0) + _TOLERANCE * amount >= amount for name, amount in request.items())


def placement_obstacle(request: Resources, totals: Sequence[Resources], free: Sequence[Resources]) -> str:
    """Why a replica cannot be placed; empty if there is room for it.

    Args:
        request: of the replica.
        totals: what each node has.
        free: what of that is free.
    """
    if any(fits(request, node) for node in free):
        return ""
    if any(fits(request, node) for node in totals):
        return f"requests {_describe(request)}; free are {_describe_nodes(request, free)}"
    return f"requests {_describe(request)}, which no node has; there are {_describe_nodes(request, totals)}"


def _describe(resources: Resources) -> str:
    """`1 CPU, 0.5 GPU (L4)`."""
    counted = [
        f"{amount / 2**30 if name == 'memory' else amount:.3g} {_UNITS[name]}"
        for name, amount in resources.items()
        if name in _UNITS
    ]
    accelerators = [name.removeprefix(ACCELERATOR_PREFIX) for name in _accelerators(resources)]
    return ", ".join(counted) + (f" ({', '.join(accelerators)})" if accelerators else "")


def _describe_nodes(request: Resources, nodes: Sequence[Resources]) -> str:
    """What each node has of the requested resources; equal nodes once."""
    accelerators = {name for node in nodes for name in _accelerators(node)} if _accelerators(request) else set()
    names = [*(name for name in request if name in _UNITS), *sorted(accelerators)]
    described = dict.fromkeys(
        _describe({n: node.get(n, 0) for n in names if n in _UNITS or n in node}) for node in nodes
    )
    return " / ".join(described) or "no nodes"


def _accelerators(resources: Resources) -> list[str]:
    return [name for name in resources if name.startswith(ACCELERATOR_PREFIX)]
