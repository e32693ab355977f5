"""Every overlay renders, is what its service.yaml says, and is valid for Kubernetes, KubeRay and Ray Serve."""

import copy
import re
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
import yaml

from serve.applications import route_table_from_config
from serve.cli.render import render_ray_service
from serve.config.file import read_config_file
from serve.middleware.ray_proxy import STEERING
from serve.observability.dashboards import dashboards
from serve.observability.objectives import Objectives
from serve.observability.rules import rules
from tests.k8s import crd
from tests.k8s.manifests import K8S, OVERLAYS, ROOT, Manifest, of_kind, overlay, pod_templates, ray_service
from tests.k8s.operator_rules import broken_rules
from tests.k8s.serve_schema import unknown_keys

KUBERNETES = "1.33"
CUSTOM = {"ray.io", "monitoring.coreos.com", "gateway.networking.k8s.io"}  # have definitions of their own
every_overlay = pytest.mark.parametrize("name", OVERLAYS)


def service_of(name: str) -> Any:
    return read_config_file(K8S / "overlays" / name / "service.yaml")


@every_overlay
def test_its_ray_service_is_what_its_configuration_renders_to(name: str) -> None:
    written = (K8S / "overlays" / name / "rayservice.yaml").read_text(encoding="utf-8")
    assert written == render_ray_service(service_of(name)), "run `make k8s-render`"


@every_overlay
def test_it_is_valid(name: str) -> None:
    for manifest in overlay(name):
        if manifest["apiVersion"].split("/")[0] in CUSTOM:
            continue
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@every_overlay
def test_pods_inside_custom_resources_are_valid(name: str) -> None:
    for pod, template in pod_templates(name).items():
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": template["spec"]}
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@every_overlay
def test_its_custom_resources_fit_their_definitions(name: str) -> None:
    known = crd.definitions()
    checked = [manifest for manifest in overlay(name) if (manifest["apiVersion"], manifest["kind"]) in known]
    assert {"RayService", "PodMonitor", "PrometheusRule"} <= {manifest["kind"] for manifest in checked}
    assert [problem for manifest in checked for problem in crd.problems(manifest)] == []


def test_a_wrong_custom_resource_does_not_fit() -> None:
    wrong = copy.deepcopy(ray_service("cpu"))
    wrong["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["minReplica"] = 1
    wrong["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["maxReplicas"] = "many"
    assert len(crd.problems(wrong)) == 2


@every_overlay
def test_the_operator_takes_it(name: str) -> None:
    assert broken_rules(ray_service(name)) == []


def _cluster(service: Manifest) -> Manifest:
    cluster: Manifest = service["spec"]["rayClusterConfig"]
    return cluster


def _head(service: Manifest) -> Manifest:
    container: Manifest = _cluster(service)["headGroupSpec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda service: service["metadata"].update(name="a" * 48), "at most 47"),
        (lambda service: _head(service)["ports"].pop(), "named serve"),
        (lambda service: _head(service).update(name="proxy"), "is the first"),
        (lambda service: _head(service)["env"].append({"name": "RAY_REDIS_ADDRESS"}), "alone"),
        (lambda service: _cluster(service).pop("rayVersion"), "rayVersion"),
        (lambda service: _cluster(service)["headGroupSpec"]["template"]["spec"].update(restartPolicy="Always"), "v2"),
        (lambda service: _cluster(service)["workerGroupSpecs"][0].update(resources={"CPU": "1"}), "not in both"),
        (lambda service: _head(service).update(lifecycle={"preStop": {"exec": {"command": ["ray", "stop"]}}}), "stop"),
    ],
)
def test_what_the_operator_refuses_is_found(spoil: Callable[[Manifest], Any], rule: str) -> None:
    service = copy.deepcopy(ray_service("ha"))
    _cluster(service)["workerGroupSpecs"][0]["rayStartParams"]["num-cpus"] = "1"
    spoil(service)
    assert any(rule in broken for broken in broken_rules(service))


@every_overlay
def test_ray_serve_knows_every_key(name: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(ray_service(name)["spec"]["serveConfigV2"])
    assert list(unknown_keys(config)) == []
    deployed = ServeDeploySchema.model_validate(config)
    routes = {route.model: route.prefix for route in route_table_from_config(service_of(name)).routes}
    assert {app.name: app.route_prefix for app in deployed.applications} == {"gateway": "/"} | routes


def test_unknown_keys_are_found() -> None:
    options = {"ray_actor_options": {"num_cpu": 1}, "autoscaling_config": {"min_replica": 1}, "name": "model"}
    config = {"http_option": {}, "applications": [{"name": "a", "args": {"anything": 1}, "deployments": [options]}]}
    assert sorted(unknown_keys(config)) == [
        "applications.0.deployments.0.autoscaling_config.min_replica",
        "applications.0.deployments.0.ray_actor_options.num_cpu",
        "http_option",
    ]


@every_overlay
def test_pods_are_restricted(name: str) -> None:
    """The rules of Kubernetes' `restricted` profile, and a root that nobody writes to."""
    (namespace,) = of_kind(name, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for template in pod_templates(name).values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


@every_overlay
def test_selectors_find_pods(name: str) -> None:
    labels = [template["metadata"]["labels"] for template in pod_templates(name).values()]
    selectors = [
        *(manifest["spec"]["podSelector"] for manifest in of_kind(name, "NetworkPolicy")),
        *(manifest["spec"]["selector"] for manifest in of_kind(name, "PodDisruptionBudget")),
        *(manifest["spec"]["selector"] for manifest in of_kind(name, "PodMonitor")),
        *({"matchLabels": manifest["spec"]["selector"]} for manifest in of_kind(name, "Service")),
    ]
    assert selectors
    for selector in selectors:
        assert any(selector["matchLabels"].items() <= found.items() for found in labels), selector


@every_overlay
def test_every_pod_has_a_policy_and_only_the_front_is_open(name: str) -> None:
    policies = of_kind(name, "NetworkPolicy")
    for pod, template in pod_templates(name).items():
        found = [
            p
            for p in policies
            if p["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        ]
        assert any("Ingress" in policy["spec"]["policyTypes"] for policy in found), pod
        for policy in found:
            for rule in policy["spec"].get("ingress", []):
                assert rule.get("from") or pod == "automodel-serve-front"
                ports = {port["port"] for port in rule.get("ports", [])}
                assert not ports & {8404, 9101}, "HAProxy's statistics are for nobody"


@every_overlay
def test_a_node_has_the_time_to_drain(name: str) -> None:
    service = service_of(name)
    config = yaml.safe_load(ray_service(name)["spec"]["serveConfigV2"])
    shutdown = min(app["deployments"][0]["graceful_shutdown_timeout_s"] for app in config["applications"])
    cluster = _cluster(ray_service(name))
    assert shutdown > service.limits.request_timeout_s
    assert ray_service(name)["spec"]["rayClusterDeletionDelaySeconds"] > shutdown
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        spec = group["template"]["spec"]
        variables = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}
        drain = float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert spec["terminationGracePeriodSeconds"] > drain > shutdown
        assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
        assert variables["HF_HUB_OFFLINE"] == "1"


@every_overlay
def test_the_head_has_no_work(name: str) -> None:
    cluster = _cluster(ray_service(name))
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert ray_service(name)["spec"]["excludeHeadPodFromServeSvc"] is True
    config = yaml.safe_load(ray_service(name)["spec"]["serveConfigV2"])
    gateway = next(app for app in config["applications"] if app["name"] == "gateway")
    assert gateway["deployments"][0]["ray_actor_options"]["num_cpus"] > 0


@every_overlay
def test_rules_and_dashboards_are_those_that_the_metrics_give(name: str) -> None:
    (rule,) = of_kind(name, "PrometheusRule")
    assert rule["spec"] == rules(Objectives()), "run `make k8s-render`"
    (pages,) = (
        manifest
        for manifest in of_kind(name, "ConfigMap")
        if "grafana_dashboard" in manifest["metadata"].get("labels", {})
    )
    assert pages["data"] == {f"{page.name}.json": page.text() for page in dashboards(Objectives())}, (
        "run `make k8s-render`"
    )


@every_overlay
def test_claims_and_secrets_are_there_or_documented(name: str) -> None:
    documented = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    claims = {manifest["metadata"]["name"] for manifest in of_kind(name, "PersistentVolumeClaim")}
    text = yaml.safe_dump_all(overlay(name))
    for secret in set(re.findall(r"secretName: (\S+)", text)):
        assert f"secret generic {secret}" in documented or f"secret tls {secret}" in documented, secret
    for template in pod_templates(name).values():
        for volume in template["spec"].get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


@every_overlay
def test_nobody_outside_steers_ray(name: str) -> None:
    steering = {header.decode() for header in STEERING}
    routes = of_kind(name, "HTTPRoute")
    for route in routes:
        for rule in route["spec"]["rules"]:
            assert set(rule["filters"][0]["requestHeaderModifier"]["remove"]) == steering
            assert float(rule["timeouts"]["request"].rstrip("s")) > service_of(name).limits.request_timeout_s
    if not routes:
        (configuration,) = (manifest for manifest in of_kind(name, "ConfigMap") if "haproxy.cfg" in manifest["data"])
        removed = re.findall(r"http-request del-header (\S+)", configuration["data"]["haproxy.cfg"])
        assert set(removed) == steering


def test_the_front_allows_what_the_service_allows() -> None:
    limits = service_of("ha").limits
    (front,) = of_kind("ha", "Deployment")
    variables = {v["name"]: v["value"] for v in front["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert int(variables["MAX_BODY_BYTES"]) == limits.max_body_mb * 1024 * 1024
    assert float(variables["TIMEOUT_SERVER"].rstrip("s")) > limits.request_timeout_s
    grace = front["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(variables["HARD_STOP"].rstrip("s")) > limits.request_timeout_s


def test_high_availability_has_two_of_everything() -> None:
    (group,) = _cluster(ray_service("ha"))["workerGroupSpecs"]
    assert group["minReplicas"] >= 2
    config = yaml.safe_load(ray_service("ha")["spec"]["serveConfigV2"])
    gateway = next(app for app in config["applications"] if app["name"] == "gateway")
    assert gateway["deployments"][0]["num_replicas"] == 2
    assert gateway["deployments"][0]["max_replicas_per_node"] == 1
    assert all(model.replicas.min >= 2 and model.replicas.max_per_node == 1 for model in service_of("ha").models)
    assert _cluster(ray_service("ha"))["gcsFaultToleranceOptions"]["redisAddress"]


def test_gpus_are_asked_for_and_shared() -> None:
    cpu, gpu = _cluster(ray_service("gpu"))["workerGroupSpecs"]
    container = gpu["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert gpu["resources"] == {"accelerator_type:L4": "1"}
    assert gpu["minReplicas"] == 2  # three models, of which two share one
    assert gpu["template"]["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert gpu["template"]["spec"]["nodeSelector"]
    assert "nvidia.com/gpu" not in cpu["template"]["spec"]["containers"][0]["resources"]["limits"]
