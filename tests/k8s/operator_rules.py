"""What KubeRay's operator refuses although its schema allows it, from the operator's own validation (1.7)."""

import re
from collections.abc import Iterator
from typing import Any

MAX_NAME = 47  # the clusters' names are longer by a suffix
AUTOSCALER_VARIABLE = "RAY_enable_autoscaler_v2"


def broken_rules(service: dict[str, Any]) -> list[str]:
    """The rules that a RayService breaks."""
    return [*_of_service(service), *_of_cluster(service["spec"]["rayClusterConfig"])]


def _of_service(service: dict[str, Any]) -> Iterator[str]:
    name = service["metadata"]["name"]
    if len(name) > MAX_NAME or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield "the name is a DNS-1035 label of at most 47 characters"
    if service["spec"].get("upgradeStrategy", {}).get("type") not in (None, "None", "NewCluster"):
        yield "an incremental upgrade needs a Gateway of its own"
    if service["spec"].get("rayClusterDeletionDelaySeconds", 0) < 0:
        yield "rayClusterDeletionDelaySeconds is not negative"
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]
    if head.get("headService", {}).get("metadata", {}).get("name"):
        yield "headService.metadata.name is unset"


def _of_cluster(cluster: dict[str, Any]) -> Iterator[str]:
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    first = head["template"]["spec"]["containers"][0]
    variables = {variable["name"] for variable in first.get("env", [])}
    if "serve" not in {port.get("name") for port in first.get("ports", [])}:
        yield "the head's first container has a port named serve"
    for group in [head, *workers]:
        yield from _of_group(group)
    if cluster.get("gcsFaultToleranceOptions"):
        if variables & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"} or "redis-password" in head["rayStartParams"]:
            yield "Redis is named by gcsFaultToleranceOptions alone"
    elif "RAY_REDIS_ADDRESS" in variables:
        yield "RAY_REDIS_ADDRESS needs gcsFaultToleranceOptions"
    options = cluster.get("autoscalerOptions", {})
    if options.get("version") == "v2":
        if AUTOSCALER_VARIABLE in variables:
            yield "the autoscaler's version is named once"
        for group in [head, *workers]:
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
                yield "autoscaler v2 wants restartPolicy Never or unset"
    if cluster.get("authOptions", {}).get("mode") == "token":
        version = tuple(int(part) for part in cluster.get("rayVersion", "0.0").split(".")[:2])
        if version < (2, 52):
            yield "token authentication needs rayVersion 2.52 or later"
        if cluster["authOptions"].get("enableK8sTokenAuth"):
            yield "a RayService cannot use Kubernetes' own tokens"


def _of_group(group: dict[str, Any]) -> Iterator[str]:
    name, parameters = group.get("groupName", "head"), group.get("rayStartParams", {})
    container = group["template"]["spec"]["containers"][0]
    if container["name"] != "ray":
        yield f"{name}: Ray's container is the first"
    if group.get("resources") and parameters.keys() & {"num-cpus", "num-gpus", "memory", "resources"}:
        yield f"{name}: resources are in rayStartParams or in resources, not in both"
    if "labels" in parameters:
        yield f"{name}: labels are no rayStartParams"
    if group.get("minReplicas", 0) > group.get("maxReplicas", 0):
        yield f"{name}: minReplicas is at most maxReplicas"
    command = str(container.get("lifecycle", {}).get("preStop", ""))
    if "ray stop" in command or "'ray', 'stop'" in command:
        yield f"{name}: no `ray stop` before the pod's end: it would cut off what is under way"
