from loadtests.load.arrivals import Phase
from loadtests.load.http_load import ClosedLoad, OpenLoad
from loadtests.load.load_process import load_process
from serve.cluster.launch import free_port


def test_the_load_process_runs_closed_and_open_loads() -> None:
    port = free_port()
    with load_process() as loads:
        closed = ClosedLoad(port=port, path="/", bodies=["{}"], requests=2, concurrency=1, headers=["x-model"])
        result = loads.run(closed)
        opened = loads.run(OpenLoad(port=port, path="/", bodies=["{}"], phases=[Phase(50, 0.2)]))
    assert result.failures == {"ConnectionRefusedError": 2}
    assert result.headers == {"x-model": []}
    assert opened.failures == {"ConnectionRefusedError": len(opened.requests)}
