"""What the benchmark's child processes find in their environment."""

import os
from pathlib import Path

# Set in a server's environment and inherited by all that it starts: how its processes are found again.
MARK = "AUTOMODEL_BENCH_SERVER"

ROOT = Path(__file__).resolve().parents[2]

_NOT_INHERITED = ("AUTOMODEL_SERVE_", "RAY_", "OMP_", "MKL_")


def child_environment(mark: str = "", *, threads: int | None = None) -> dict[str, str]:
    """This process's environment without what would change a measurement.

    Ray starts its workers at a lower priority than what else runs, so that on a machine that does other work too Ray
    would be compared at a handicap: here all run at the same.

    Args:
        mark: how `process_tree` finds a server's processes.
        threads: compute threads of numerical libraries; must stand before torch is imported.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    kept |= {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}
    kept |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    if mark:
        kept[MARK] = mark
    if threads is not None:
        kept |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return kept
