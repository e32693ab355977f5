"""What differs between what runs and what is wanted."""

from dataclasses import replace

import pytest

from serve.applications import ModelArguments
from serve.cli.apply.changes import Change, Kind, differences, through_gateway
from serve.cli.apply.running_service import ApplyError
from tests.serve.cli.apply.parts import changes, running, service, table_of

A, B, C = ({"name": name} for name in "abc")
MASKS = {"name": "masks", "task": "fill-mask"}


def kinds(found: dict[str, Change]) -> dict[str, str]:
    return {name: str(change.kind) for name, change in found.items()}


def test_nothing_differs() -> None:
    found = changes(running(service(A, B)), service(A, B))
    assert kinds(found) == {"a": "unchanged", "b": "unchanged", "gateway": "unchanged"}


def test_a_model_is_added_and_another_removed() -> None:
    found = changes(running(service(A, MASKS)), service(A, B))
    assert kinds(found) == {"a": "unchanged", "b": "added", "masks": "removed", "gateway": "upgraded"}
    assert found["b"].details == ("text-classification at /tasks/text-classification/b",)
    assert found["masks"].details == ()


def test_what_a_replica_is_made_of_wants_new_ones() -> None:
    found = changes(running(service(A, B)), service(A, B | {"model": "other", "max_length": 64}))
    assert kinds(found) == {"a": "unchanged", "b": "upgraded", "gateway": "upgraded"}
    assert found["b"].details == ("model: none → other", "max_length: null → 64")


def test_how_many_replicas_there_are_does_not() -> None:
    found = changes(running(service(A)), service(A | {"replicas": {"max": 3, "target_ongoing_requests": 8}}))
    assert kinds(found) == {"a": "reconfigured", "gateway": "upgraded"}
    assert found["a"].details == ("replicas.max: 1 → 3", "replicas.target_ongoing_requests: 32 → 8")


def test_how_many_a_node_may_have_does() -> None:
    found = changes(running(service(A)), service(A | {"replicas": {"max_per_node": 1}}))
    assert found["a"].kind is Kind.UPGRADED


def test_what_holds_for_all_changes_all() -> None:
    found = changes(running(service(A, B)), service(A, B, limits={"max_waiting": 64}))
    assert kinds(found) == {"a": "upgraded", "b": "upgraded", "gateway": "upgraded"}
    assert found["a"].details == ("limits.max_waiting: 512 → 64",)


def test_another_order_is_the_gateways_alone() -> None:
    found = changes(running(service(A, MASKS)), service(MASKS, A))
    assert kinds(found) == {"masks": "unchanged", "a": "unchanged", "gateway": "upgraded"}


def test_threads_of_what_stays_are_not_shared_out_anew() -> None:
    before = running(service(A))
    found = changes(before, service(A | {"replicas": {"max": 2}}, B))
    assert before.models["a"].arguments.cpu_threads == 2
    assert _arguments(found["a"]).cpu_threads == 2
    assert _arguments(found["b"]).cpu_threads == 1


def test_a_model_is_started_anew_because_it_is_asked_for_or_has_failed() -> None:
    before = running(service(A, B))
    assert changes(before, service(A, B), restarted=["b"])["b"].kind is Kind.UPGRADED
    failed = replace(before, models=before.models | {"a": replace(before.models["a"], has_failed=True)})
    assert kinds(changes(failed, service(A, B))) == {"a": "upgraded", "b": "unchanged", "gateway": "unchanged"}
    with pytest.raises(ApplyError, match="no model 'c' runs; there are a, b"):
        changes(before, service(A, B), restarted=["c"])


def test_what_up_decided_stays() -> None:
    before = running(service(A, logging={"format": "text"}, grpc={"port": 8001}))
    assert kinds(changes(before, service(A))) == {"a": "unchanged", "gateway": "unchanged"}
    assert changes(before, service(A, logging={"format": "json"}))["a"].kind is Kind.UPGRADED


def test_the_first_model_of_a_task_gets_its_path() -> None:
    found = changes(running(service(A)), service(A, MASKS))
    assert found["masks"].details == ("fill-mask at /tasks/fill-mask",)
    assert _arguments(found["masks"]).is_default


def test_a_default_model_that_is_removed_leaves_its_path_to_the_gateway() -> None:
    before, wanted = running(service(A, B)), service(B, C)
    found = changes(before, wanted)
    assert kinds(found) == {"b": "unchanged", "c": "added", "a": "removed", "gateway": "upgraded"}
    assert found["a"].details == ("/tasks/text-classification moves to b",)
    assert found["b"].after is not None
    assert found["b"].after.route_prefix == "/tasks/text-classification/b"
    assert [route.model for route in through_gateway(list(found.values()), table_of(wanted))] == ["b"]


def test_a_new_default_model_does_not_get_a_path_that_another_answers_at() -> None:
    found = changes(running(service(A)), service(C))
    assert _arguments(found["c"]).is_default is False
    assert found["c"].details == ("text-classification at /tasks/text-classification/c",)


def test_no_model_takes_a_path_from_one_that_stays() -> None:
    for wanted in (service(C, A), service(B, A)):
        with pytest.raises(ApplyError, match="^a answers at /tasks/text-classification and must stay the first"):
            changes(running(service(A, B)), wanted)


def test_a_model_keeps_its_task() -> None:
    with pytest.raises(ApplyError, match="^a serves text-classification and cannot change to fill-mask"):
        changes(running(service(A)), service(A | {"task": "fill-mask"}))


def test_the_gateway_comes_last() -> None:
    wanted = service(A)
    assert differences(running(service(A, B)), wanted, table_of(wanted), cores=2)[-1].name == "gateway"


def _arguments(change: Change) -> ModelArguments:
    assert change.after is not None
    assert isinstance(change.after.arguments, ModelArguments)
    return change.after.arguments
