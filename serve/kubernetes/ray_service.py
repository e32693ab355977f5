"""The RayService manifest of a service (`ray.io/v1`, KubeRay 1.7)."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from serve.kubernetes.manifest import as_yaml
from serve.kubernetes.pod import OBJECT_STORE_BYTES, PodPlan, head_pod, labels, worker_pod
from serve.kubernetes.serve_config import serve_config
from serve.kubernetes.worker_groups import WorkerGroup
from serve.routes import RouteTable

IDLE_S = 300  # until a worker without replicas is removed


def ray_service(plan: PodPlan, table: RouteTable, groups: Sequence[WorkerGroup]) -> dict[str, Any]:
    """The manifest.

    Args:
        plan: of its pods.
        table: the service's routes.
        groups: its workers; if the first group has at least two, there are two gateways.
    """
    gateways = min(2, groups[0].min_pods)
    config = serve_config(plan.service, table, gateways=gateways)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": plan.name, "labels": labels(plan.name)},
        "spec": {
            "excludeHeadPodFromServeSvc": True,
            # A changed image or pod starts a second cluster, which takes over the traffic when it is ready; the first
            # one finishes its requests. If only serveConfigV2 changes, the running cluster is updated in place.
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": plan.service.limits.shutdown_s + 30,
            "serveConfigV2": as_yaml(config),
            "rayClusterConfig": {
                "rayVersion": version("ray"),
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": _autoscaler(),
                "authOptions": {"mode": "token", "secretName": f"{plan.name}-ray-token"},
                "headGroupSpec": _head(plan),
                "workerGroupSpecs": [_workers(plan, group) for group in groups],
            },
        },
    }


def _autoscaler() -> dict[str, Any]:
    return {
        "version": "v2",
        "idleTimeoutSeconds": IDLE_S,
        "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _head(plan: PodPlan) -> dict[str, Any]:
    """The head group, without CPUs, so that no replica is placed there."""
    store = {"object-store-memory": str(OBJECT_STORE_BYTES)}
    return {
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"} | store,
        "template": head_pod(plan),
    }


def _workers(plan: PodPlan, group: WorkerGroup) -> dict[str, Any]:
    accelerator = group.node.accelerator_type
    # Ray detects the type on a node; its autoscaler must know it before there is a node.
    resources = {"resources": {f"accelerator_type:{accelerator}": "1"}} if accelerator else {}
    return {
        "groupName": group.name,
        "replicas": group.min_pods,
        "minReplicas": group.min_pods,
        "maxReplicas": group.max_pods,
        **resources,
        "rayStartParams": {"object-store-memory": str(OBJECT_STORE_BYTES)},
        "template": worker_pod(plan, group.node),
    }
