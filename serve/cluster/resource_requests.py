"""What a replica asks of a node, and why it does not get it."""

from collections.abc import Mapping, Sequence

from deployments.config import ModelConfig

Amounts = Mapping[str, float]
_UNITS = {"CPU": "CPU", "GPU": "GPU", "memory": "GiB of memory"}
KIND = "accelerator_type:"
_SLACK = 1e-6


def asked(model: ModelConfig) -> Amounts:
    """What one replica asks for, in Ray's own names."""
    resources = model.resources
    amounts = {"CPU": resources.num_cpus, "GPU": resources.num_gpus}
    if resources.memory_gib is not None:
        amounts["memory"] = resources.memory_gib * 2**30
    if resources.accelerator_type is not None:
        amounts[KIND + resources.accelerator_type] = 0.001  # as Ray does
    return {name: amount for name, amount in amounts.items() if amount > 0}


def has_room(wanted: Amounts, node: Amounts) -> bool:
    return all(node.get(name, 0) + _SLACK * amount >= amount for name, amount in wanted.items())


def obstacle(wanted: Amounts, totals: Sequence[Amounts], free: Sequence[Amounts]) -> str:
    """Why a replica is not placed; empty where there is room for it.

    Args:
        wanted: what it asks for.
        totals: what each node has.
        free: what of that is left.
    """
    if any(has_room(wanted, node) for node in free):
        return ""
    if any(has_room(wanted, node) for node in totals):
        return f"asks for {_words(wanted)}; free are {_nodes(wanted, free)}"
    return f"asks for {_words(wanted)}, which no node has; there are {_nodes(wanted, totals)}"


def _words(amounts: Amounts) -> str:
    """`1 CPU, 0.5 GPU (L4)`."""
    counted = [
        f"{amount / 2**30 if name == 'memory' else amount:.3g} {_UNITS[name]}"
        for name, amount in amounts.items()
        if name in _UNITS
    ]
    kinds = [name.removeprefix(KIND) for name in amounts if name.startswith(KIND)]
    return ", ".join(counted) + (f" ({', '.join(kinds)})" if kinds else "")


def _nodes(wanted: Amounts, nodes: Sequence[Amounts]) -> str:
    """What each node has of that, most of the first thing asked for first."""
    kinds = {name for node in nodes for name in node if name.startswith(KIND)} if _asks_kind(wanted) else set()
    names = [*(name for name in wanted if name in _UNITS), *sorted(kinds)]
    shown = dict.fromkeys(_words({n: node.get(n, 0) for n in names if n in _UNITS or n in node}) for node in nodes)
    return " / ".join(shown) or "no nodes"


def _asks_kind(wanted: Amounts) -> bool:
    return any(name.startswith(KIND) for name in wanted)
