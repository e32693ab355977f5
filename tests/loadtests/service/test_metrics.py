from loadtests.service.metrics import metric_sums, metrics_by_model, metrics_of_all
from tests.loadtests.recorded_load import scrapes

METRICS = """\
# HELP ray_automodel_batch_rows Rows.
# TYPE ray_automodel_batch_rows histogram
ray_automodel_batch_rows_bucket{model="minilm",task="t",node="a",le="+Inf"} 4
ray_automodel_batch_rows_count{model="minilm",task="t",node="a"} 4
ray_automodel_batch_rows_sum{model="minilm",task="t",node="a"} 10
ray_automodel_batch_rows_bucket{model="minilm",task="t",node="b",le="+Inf"} 1
ray_automodel_batch_rows_count{model="minilm",task="t",node="b"} 1
ray_automodel_batch_rows_sum{model="minilm",task="t",node="b"} 5
# HELP ray_automodel_requests Requests.
# TYPE ray_automodel_requests counter
ray_automodel_requests_total{model="minilm",task="t",outcome="ok"} 7
"""


def test_sums_are_over_nodes_and_of_the_known_histograms() -> None:
    sums = metric_sums(METRICS)
    assert sums == {"minilm": {"batch_rows_sum": 15, "batch_rows_count": 5}}
    assert metrics_of_all({}, sums).rows == 3
    assert metrics_by_model(sums, sums)["minilm"].rows is None


def test_the_increase_of_a_replaced_replica_is_zero() -> None:
    before, after = scrapes()[2], scrapes()[0]
    assert metrics_by_model(before, after)["minilm"].rows is None
