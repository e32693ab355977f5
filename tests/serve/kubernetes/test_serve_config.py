"""A rendered serveConfigV2 builds what `up` builds, from nothing but what it says."""

from typing import Any

import pytest
import yaml
from ray import serve
from ray._common.utils import import_attr
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from deployments.config import ModelConfig, Replicas
from serve.applications import ModelArguments, applications, route_table_from_config
from serve.apps import build_apps
from serve.config.service import ServiceConfig
from serve.kubernetes.manifest import as_yaml
from serve.kubernetes.serve_config import serve_config
from serve.routes import route_table

SERVICE = ServiceConfig(
    models=[  # type: ignore[arg-type]
        {"model": "embedded:minilm", "resources": {"num_cpus": 2.5}, "pooling": {"mode": "cls"}},
        {
            "model": "embedded:prompt-injection",
            "name": "guard",
            "replicas": {"min": 0, "max": 3, "target_ongoing_requests": 7, "max_per_node": 1},
            "audio": {"stride_length_s": [4, 2]},
        },
        {"model": "embedded:pii", "resources": {"num_gpus": 0.25, "accelerator_type": "L4", "cpu_threads": 3}},
        {"model": "embedded:prompt-injection", "name": "second", "batching": {"max_rows": 5}},
    ],
    limits={"request_timeout_s": 20, "max_waiting": 9},  # type: ignore[arg-type]
    media={"allow_urls": ["example.org"]},  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def config() -> Any:
    """As it comes out of the file."""
    return yaml.safe_load(as_yaml(serve_config(SERVICE, route_table_from_config(SERVICE))))


def built(app: dict[str, Any]) -> serve.Application:
    """As Ray does it on the cluster."""
    return call_user_app_builder_with_args_if_necessary(import_attr(app["import_path"]), app["args"])


def options(application: serve.Application) -> Any:
    """The deployment's options, and what its replicas are made of, but for their number."""
    deployment = application._bound_deployment
    replica = deployment._replica_config
    made = [argument for argument in replica.init_args if not callable(argument)]
    made = [each.model_copy(update={"replicas": None}) if isinstance(each, ModelConfig) else each for each in made]
    config = deployment._deployment_config.model_dump(exclude={"num_replicas", "autoscaling_config"})
    del config["user_configured_option_names"]
    return config, replica.max_replicas_per_node, made


def test_names_and_paths_are_those_of_up(config: Any) -> None:
    targets = build_apps(SERVICE, route_table(SERVICE))
    expected = [(target.name, target.route_prefix) for target in targets]
    assert [(app["name"], app["route_prefix"]) for app in config["applications"]] == expected
    assert expected[1] == ("minilm", "/tasks/feature-extraction")
    assert expected[4] == ("second", "/tasks/text-classification/second")


def test_deployments_are_those_of_up(config: Any) -> None:
    named = ServiceConfig(  # with threads, which are the one thing that `up` shares out itself
        **SERVICE.model_dump(exclude={"models"}),
        models=[
            model.model_copy(update={"resources": model.resources.model_copy(update={"cpu_threads": threads})})
            for model, threads in zip(SERVICE.models, (2, 1, 3, 1), strict=True)
        ],
    )
    targets = build_apps(named, route_table(named))
    for app, target in zip(config["applications"][1:], targets[1:], strict=True):
        (ours, most, made), (theirs, their_most, theirs_made) = options(built(app)), options(target.target)
        assert ours == theirs, app["name"]
        assert most == their_most
        assert made[0].model_copy(update={"resources": None}) == theirs_made[0].model_copy(update={"resources": None})
        assert made[0].resources.cpu_threads == theirs_made[0].resources.cpu_threads
        assert made[1:] == theirs_made[1:]


def test_arguments_come_back_as_they_were_but_for_the_number_of_replicas(config: Any) -> None:
    per_node = [
        model.model_copy(update={"replicas": Replicas(max_per_node=model.replicas.max_per_node)})
        for model in SERVICE.models
    ]
    unscaled = ServiceConfig(**SERVICE.model_dump(exclude={"models"}), models=per_node)
    given = applications(unscaled, route_table_from_config(unscaled))
    for app, expected in zip(config["applications"], given, strict=True):
        assert type(expected.arguments).model_validate(app["args"]) == expected.arguments


def test_the_number_of_replicas_is_the_deployment_s_own(config: Any) -> None:
    ours = ServeDeploySchema.model_validate(config).applications
    assert [app["deployments"][0].get("num_replicas") for app in config["applications"][1:]] == [1, None, 1, 1]
    theirs = build_apps(SERVICE, route_table(SERVICE))[2].target
    scaling = theirs._bound_deployment._deployment_config.autoscaling_config
    assert scaling is not None
    assert AutoscalingConfig.model_validate(ours[2].deployments[0].autoscaling_config) == scaling
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (0, 3, 7)


def test_another_number_of_replicas_is_no_other_version(config: Any) -> None:
    """Serve replaces every replica of an application whose arguments change."""
    minilm, guard, *rest = SERVICE.models
    minilm = minilm.model_copy(update={"replicas": Replicas(min=2, max=2)})
    guard = guard.model_copy(update={"replicas": Replicas(min=1, max=5, max_per_node=1)})
    scaled = ServiceConfig(**SERVICE.model_dump(exclude={"models"}), models=[minilm, guard, *rest])
    rendered = yaml.safe_load(as_yaml(serve_config(scaled, route_table_from_config(scaled))))
    for before, after in zip(config["applications"], rendered["applications"], strict=True):
        assert get_app_code_version(ServeApplicationSchema(**after)) == get_app_code_version(
            ServeApplicationSchema(**before)
        )
    assert rendered != config


def test_threads_are_the_cpus_that_were_asked_for(config: Any) -> None:
    assert [app["args"]["cpu_threads"] for app in config["applications"][1:]] == [2, 1, 1, 1]


def test_a_model_knows_nothing_of_the_others() -> None:
    """So that Ray, which deploys an application anew when its arguments change, leaves it alone when they do."""
    fewer = ServiceConfig(**SERVICE.model_dump(exclude={"models"}), models=SERVICE.models[:2])
    before = {app.name: app.arguments for app in applications(SERVICE, route_table_from_config(SERVICE))}
    after = {app.name: app.arguments for app in applications(fewer, route_table_from_config(fewer))}
    assert all(after[name] == before[name] for name in ("minilm", "guard"))


def test_a_changed_environment_changes_nothing(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_LIMITS__MAX_WAITING", "1")
    arguments = ModelArguments.model_validate(config["applications"][1]["args"])
    assert arguments.options.limits.max_waiting == 9


def test_replicas_may_take_longer_than_their_longest_request(config: Any) -> None:
    assert {app["deployments"][0]["graceful_shutdown_timeout_s"] for app in config["applications"]} == {35}


def test_a_wrong_argument_is_refused(config: Any) -> None:
    app = config["applications"][1]
    with pytest.raises(ValueError, match="devise"):
        built(app | {"args": app["args"] | {"model": app["args"]["model"] | {"devise": "cpu"}}})
