"""HAProxy's connections: its ports, and how it notices that a machine is gone."""

import subprocess
from pathlib import Path

import pytest
from ray.serve._private import haproxy

from serve.cluster.haproxy import KEEP_ALIVE_S, METRICS_PORT_VARIABLE, STATISTICS_PORT_VARIABLE, haproxy_environment
from serve.config.service import Limits
from serve.proxy.connections import USER_TIMEOUT_S, with_user_timeout, without_unasked_ports


@pytest.fixture
def written(tmp_path: Path) -> str:
    """A configuration as this release of Ray writes it."""
    server = haproxy.ServerConfig(name="one", host="127.0.0.1", port=30000)
    backend = haproxy.BackendConfig(
        name="http-small", path_prefix="/tasks/fill-mask", app_name="small", servers=[server]
    )
    config = haproxy.HAProxyConfig(
        socket_path=str(tmp_path / "admin.sock"), server_state_base=str(tmp_path), error_file_path=None
    )
    file = tmp_path / "haproxy.cfg"
    haproxy.HAProxyApi(config, {"small": backend}, str(file))._generate_config_file_internal()
    return file.read_text()


def is_valid(configuration: str, folder: Path) -> bool:
    file = folder / "extended.cfg"
    file.write_text(configuration)
    checked = subprocess.run([haproxy.get_haproxy_binary(), "-c", "-f", str(file)], capture_output=True, check=False)
    return checked.returncode == 0


@pytest.mark.parametrize(
    ("environment", "sections"),
    [
        ({}, set()),
        ({METRICS_PORT_VARIABLE: "9101"}, {"frontend prometheus"}),
        ({STATISTICS_PORT_VARIABLE: "8404"}, {"listen stats"}),
    ],
)
def test_a_port_is_opened_only_if_it_is_asked_for(
    written: str, tmp_path: Path, environment: dict[str, str], sections: set[str]
) -> None:
    both = {"frontend prometheus", "listen stats"}
    assert all(section in written for section in both)
    left = without_unasked_ports(written, environment)
    assert {section for section in both if section in left} == sections
    assert left.count("bind ") == 1 + len(sections)  # the service's own
    assert is_valid(left, tmp_path)


def test_every_server_has_a_limit_for_unacknowledged_bytes(written: str, tmp_path: Path) -> None:
    limited = with_user_timeout(written)
    servers = [line for line in limited.splitlines() if line.strip().startswith("server ")]
    assert servers
    assert all(line.endswith(f" tcp-ut {USER_TIMEOUT_S}s") for line in servers)
    assert is_valid(limited, tmp_path)


@pytest.mark.parametrize("limits", [Limits(), Limits(request_timeout_s=600.5, body_timeout_s=1)])
def test_an_old_haproxy_outlives_the_last_request_that_it_may_take(limits: Limits) -> None:
    hard_stop_s = int(haproxy_environment(limits)["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"])
    assert hard_stop_s > KEEP_ALIVE_S + limits.body_timeout_s + limits.request_timeout_s
