"""The number of replicas of a model, as options of a Serve deployment."""

from typing import Any

from deployments.config import Replicas

# Fields of `Replicas` that Serve changes without replacing running replicas.
IN_PLACE = ("min", "max", "target_ongoing_requests", "scale_up_delay_s", "scale_down_delay_s")


def scaling(replicas: Replicas) -> dict[str, Any]:
    """Options of a deployment: a fixed number of replicas, or autoscaling."""
    if replicas.min == replicas.max:
        return {"num_replicas": replicas.max}
    return {
        "autoscaling_config": {
            "min_replicas": replicas.min,
            "max_replicas": replicas.max,
            "target_ongoing_requests": replicas.target_ongoing_requests,
            "upscale_delay_s": replicas.scale_up_delay_s,
            "downscale_delay_s": replicas.scale_down_delay_s,
        }
    }
