"""The environment of processes that the load tests and benchmarks start."""

import os
from pathlib import Path

# Set for a server and inherited by all its processes, which `process_tree` finds by it.
SERVER_MARK = "AUTOMODEL_BENCH_SERVER"

ROOT = Path(__file__).resolve().parents[2]

_NOT_INHERITED = ("AUTOMODEL_SERVE_", "RAY_", "OMP_", "MKL_")


def child_environment(mark: str = "", *, threads: int | None = None) -> dict[str, str]:
    """This process's environment, without variables that would change a measurement.

    Ray gives its workers a lower priority by default, which would put Ray at a disadvantage on a machine that does
    other work too. Here all processes have the same priority.

    Args:
        mark: value of `SERVER_MARK`.
        threads: compute threads of numerical libraries, which read it when they are imported.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    kept |= {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
    kept |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    if mark:
        kept[SERVER_MARK] = mark
    if threads is not None:
        kept |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return kept
