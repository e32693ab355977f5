"""HAProxy's connections: its ports, and how it notices that a machine is gone."""

import subprocess
from pathlib import Path

import pytest
from ray.serve._private import haproxy

from serve.cluster.haproxy import KEEP_ALIVE_S, METRICS_PORT_VARIABLE, STATISTICS_PORT_VARIABLE, haproxy_environment
from serve.config.service import Limits
from serve.proxy.connections import (
    USER_TIMEOUT_S,
    with_one_check_of_the_backup,
    with_user_timeout,
    without_unasked_ports,
)

BACKUP = haproxy.ServerConfig(name="backup", host="127.0.0.1", port=20000)  # Ray's own proxy


def as_ray_writes_it(folder: Path, backups: dict[str, haproxy.ServerConfig]) -> str:
    """The configuration for models with one replica each, by name with their backups."""
    server = haproxy.ServerConfig(name="one", host="127.0.0.1", port=30000)
    backends = {
        name: haproxy.BackendConfig(
            name=f"http-{name}",
            path_prefix=f"/tasks/fill-mask/{name}",
            app_name=name,
            servers=[server],
            fallback_server=backup,
        )
        for name, backup in backups.items()
    }
    config = haproxy.HAProxyConfig(
        socket_path=str(folder / "admin.sock"), server_state_base=str(folder), error_file_path=None
    )
    file = folder / "haproxy.cfg"
    haproxy.HAProxyApi(config, backends, str(file))._generate_config_file_internal()
    return file.read_text()


@pytest.fixture
def written(tmp_path: Path) -> str:
    """A configuration as this release of Ray writes it."""
    return as_ray_writes_it(tmp_path, {"small": BACKUP})


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


def servers(configuration: str) -> list[list[str]]:
    """The words of each server's line, in order."""
    lines = (line.split() for line in configuration.splitlines())
    return [words for words in lines if words[:1] == ["server"]]


def test_the_backup_of_all_models_is_checked_once(tmp_path: Path) -> None:
    written = as_ray_writes_it(tmp_path, dict.fromkeys("abc", BACKUP))
    once = with_one_check_of_the_backup(written)
    backups = [words for words in servers(once) if "backup" in words[3:]]
    first, *others = backups
    assert len(backups) == 3
    assert first in servers(written)
    assert all(words[3:] == ["no-check", "track", f"http-{first_model(once)}/backup", "backup"] for words in others)
    replicas = [words for words in servers(written) if words[1] == "one"]
    assert [words for words in servers(once) if words[1] == "one"] == replicas  # each is checked, as before
    assert is_valid(with_user_timeout(once), tmp_path)


def first_model(configuration: str) -> str:
    return next(line for line in configuration.splitlines() if line.startswith("backend http-")).partition("-")[2]


def test_another_backup_has_a_check_of_its_own(tmp_path: Path) -> None:
    other = haproxy.ServerConfig(name="backup", host="127.0.0.1", port=20001)
    written = as_ray_writes_it(tmp_path, {"a": BACKUP, "b": other})
    assert with_one_check_of_the_backup(written) == written
