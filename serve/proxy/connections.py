"""HAProxy's connections: no port that nobody asked for, no check that another one makes, no machine that is gone."""

import re
from collections.abc import Mapping

from serve.cluster.haproxy import METRICS_PORT_VARIABLE, STATISTICS_PORT_VARIABLE

# Ray always writes both sections. A port of theirs that is taken keeps HAProxy from starting, and with it the service.
_SECTIONS = {"frontend prometheus": METRICS_PORT_VARIABLE, "listen stats": STATISTICS_PORT_VARIABLE}
_BODY = r"\n(?:[ \t].*(?:\n|\Z))*"
_SERVER = re.compile(r"^ +server \S+ \S+:\d+\b.*$", re.MULTILINE)

_BACKEND = re.compile(r"^backend (\S+)$")
_BACKUP = re.compile(r"^( +server (\S+) (\S+:\d+)) check backup\b")

# How long bytes sent to a replica may be without acknowledgement. TCP's keep-alive notices a dead machine only if there
# are none; without this limit the kernel sends them again for up to a quarter of an hour. The limit also ends a
# connection whose receiver does not read, so it is longer than the event loop of a living replica is ever blocked.
USER_TIMEOUT_S = 10


def without_unasked_ports(configuration: str, environment: Mapping[str, str]) -> str:
    """Ray's configuration of HAProxy without the sections whose port the environment does not set."""
    for section, variable in _SECTIONS.items():
        if variable not in environment:
            configuration = re.sub(rf"^{section}{_BODY}", "", configuration, flags=re.MULTILINE)
    return configuration


def with_one_check_of_the_backup(configuration: str) -> str:
    """Ray's configuration of HAProxy, in which the backup server of all backends is checked once, and not in each.

    It is the same process everywhere, Ray's own proxy. A check is a request that costs it two milliseconds: fourteen
    backends took two percent of a core. The others take over the state of the first.
    """
    backend = ""
    checked: dict[tuple[str, str], str] = {}  # name and address of a server, and where it is checked
    lines = configuration.split("\n")
    for place, line in enumerate(lines):
        if found := _BACKEND.match(line):
            backend = found[1]
        elif found := _BACKUP.match(line):
            start, name, address = found.groups()
            first = checked.setdefault((name, address), backend)
            if first != backend:
                lines[place] = f"{start} no-check track {first}/{name} backup{line[found.end() :]}"
    return "\n".join(lines)


def with_user_timeout(configuration: str) -> str:
    """Ray's configuration of HAProxy with a limit for unacknowledged bytes (TCP_USER_TIMEOUT) on every server."""
    return _SERVER.sub(rf"\g<0> tcp-ut {USER_TIMEOUT_S}s", configuration)
