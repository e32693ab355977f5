"""What is used beyond OpenVINO's public interface, on the pinned version."""

from pathlib import Path
from typing import Any

import pytest

from deployments.errors import LoadError
from deployments.generation.paged_attention.export import export
from deployments.openvino import internals
from deployments.openvino.graph import import_openvino
from tests.generation_models import generating_model

OPERATION = "PagedAttentionExtension"


def operations(graph: Any) -> list[Any]:
    return [each for each in graph.get_ops() if each.get_type_name() == OPERATION]


def test_a_graph_with_paged_attention_can_be_saved_and_read(tmp_path: Path) -> None:
    graph = export(generating_model("llama"))
    assert len(operations(graph)) == 2
    import_openvino().save_model(graph, str(tmp_path / "model.xml"), compress_to_fp16=False)
    read = internals.read_paged(tmp_path / "model.xml")
    internals.name_heads(read)
    for operation in operations(read):
        found = {name: int(operation.get_rt_info()[name].value) for name in ("num_k_heads", "k_head_size")}
        assert found == {"num_k_heads": 2, "k_head_size": 8}


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_openvino(), "get_version", lambda: "2027.1.0-1")
    with pytest.raises(LoadError, match=r"paged attention is known for OpenVINO 2026\.4, and this is 2027\.1\.0-1"):
        internals.paged_attention([])
