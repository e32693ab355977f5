"""How many replicas a model has, in Serve's own words."""

from typing import Any

from deployments.config import Replicas

# What Serve changes of a running model without a new replica: settings in `Replicas`.
IN_PLACE = ("min", "max", "target_ongoing_requests", "scale_up_delay_s", "scale_down_delay_s")


def scaling(replicas: Replicas) -> dict[str, Any]:
    """Options of a deployment: a number of replicas, or how it follows the load."""
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
