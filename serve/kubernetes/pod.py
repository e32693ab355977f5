"""The pods of head and workers: restricted, with a read-only root file system and Ray's environment."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.cluster.environment import PLACEMENT, RAY_ENVIRONMENT
from serve.cluster.haproxy import haproxy_environment
from serve.config.service import Service
from serve.kubernetes.worker_groups import Node

USER = 10001
MODELS = "/models"
KEYS_FILE = "/etc/automodel-serve/keys/keys.yaml"
PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000}
AGENT_PORT = 52365  # Ray's agent on every node, for liveness probes
REPLACEMENT_S = 60  # for a replica that replaces one on a draining node
SHARED_MEMORY_GIB = 1
OBJECT_STORE_BYTES = 512 * 1024**2


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What all pods of a service have in common.

    Attributes:
        name: of the service.
        image: of head and workers.
        service: its configuration.
    """

    name: str
    image: str
    service: Service

    @property
    def drain_s(self) -> int:
        """Time to drain a node: its replicas are replaced, and finish their requests."""
        return REPLACEMENT_S + self.service.limits.shutdown_s

    @property
    def reads_volume(self) -> bool:
        """Whether any model is not embedded, so not part of the image."""
        return any(not model.model.startswith(EMBEDDED_PREFIX) for model in self.service.models)


def on_cluster(service: Service) -> Service:
    """The service with its paths in a pod.

    Raises:
        LoadError: a model is in a folder that pods do not have, or gRPC is configured.
    """
    if service.grpc.port is not None:
        raise LoadError("grpc.port: not supported on Kubernetes, as no Service selects the gateway's pod; remove it")
    for model in service.models:
        if model.model.startswith(("/", ".", "~")) and MODELS not in map(str, PurePosixPath(model.model).parents):
            raise LoadError(f"{model.name}: pods have only folders below {MODELS}, not {model.model}")
    if service.auth.api_keys_file is None:
        return service
    return service.model_copy(update={"auth": service.auth.model_copy(update={"api_keys_file": KEYS_FILE})})


def head_pod(plan: PodPlan) -> dict[str, Any]:
    """The head: Ray's control plane and Serve's controller, no replicas."""
    container = _container(plan, Node(cpus=1, memory_gib=4), ("gcs-server", "dashboard", "client", "metrics", "serve"))
    container |= {"readinessProbe": _probe("/api/gcs_healthz", "dashboard")}
    container |= {"livenessProbe": _probe("/api/gcs_healthz", "dashboard", failures=10)}
    return _template(plan, container, {})


def worker_pod(plan: PodPlan, node: Node) -> dict[str, Any]:
    """A worker: replicas, and HAProxy in front of the replicas on all nodes."""
    container = _container(plan, node, ("metrics", "serve"))
    # KubeRay's default readiness probe runs bash and wget.
    container |= {"readinessProbe": _probe("/-/healthz", "serve", failures=2)}
    container |= {"livenessProbe": _probe("/api/local_raylet_healthz", AGENT_PORT, failures=10)}
    spread = {
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels(plan.name) | {"ray.io/node-type": "worker"}},
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "topologySpreadConstraints": [
            {"topologyKey": key} | spread for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }
    if node.gpus:
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return _template(plan, container, spec)


def labels(name: str) -> dict[str, str]:
    """The labels of every pod, which network policies select."""
    return {"app.kubernetes.io/name": name}


def _template(plan: PodPlan, container: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    # fsGroup alone is not enough: the user must be able to read the volume's files
    security = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return {
        "metadata": {"labels": labels(plan.name)},
        "spec": {
            "terminationGracePeriodSeconds": plan.drain_s + 30,
            "securityContext": security | {"seccompProfile": {"type": "RuntimeDefault"}},
            **spec,
            "containers": [container],
            "volumes": _volumes(plan),
        },
    }


def _container(plan: PodPlan, node: Node, ports: tuple[str, ...]) -> dict[str, Any]:
    memory = f"{node.memory_gib}Gi"
    gpus = {"nvidia.com/gpu": str(node.gpus)} if node.gpus else {}
    return {
        "name": "ray",  # must be the first container
        "image": plan.image,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "env": [{"name": name, "value": value} for name, value in _environment(plan, node).items()],
        "ports": [{"name": name, "containerPort": PORTS[name]} for name in ports],
        # No CPU limit: a batch may use what is free on the node. Memory has one, as it cannot be given back.
        "resources": {
            "requests": {"cpu": f"{node.cpus:g}", "memory": memory},
            "limits": {"memory": memory} | gpus,
        },
        "volumeMounts": _mounts(plan),
    }


def _environment(plan: PodPlan, node: Node) -> dict[str, str]:
    return (
        RAY_ENVIRONMENT
        | haproxy_environment(plan.service.limits)
        | PLACEMENT[plan.service.placement]
        | {
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, int(node.cpus))),
            # A node learns within about a second that a replica is draining; on a single machine, in a tenth of that.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
            "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "5",
            # A silent node counts as dead after about 25 s; with Ray's defaults after a minute.
            "RAY_health_check_timeout_ms": "5000",
            "RAY_health_check_failure_threshold": "3",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(plan.drain_s),  # below the pod's own grace period
            "HF_HUB_OFFLINE": "1",
        }
    )


def _volumes(plan: PodPlan) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "10Gi"}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHARED_MEMORY_GIB}Gi"}},
    ]
    if plan.reads_volume:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": f"{plan.name}-models"}})
    if plan.service.auth.api_keys_file is not None:
        volumes.append({"name": "keys", "secret": {"secretName": f"{plan.name}-keys"}})
    return volumes


def _mounts(plan: PodPlan) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
    if plan.reads_volume:
        mounts.append({"name": "models", "mountPath": MODELS})
    if plan.service.auth.api_keys_file is not None:
        # the folder, not the file: only then does a changed secret reach a running pod
        mounts.append({"name": "keys", "mountPath": str(PurePosixPath(KEYS_FILE).parent), "readOnly": True})
    return mounts


def _probe(path: str, port: str | int, failures: int = 3) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
