"""Applications without a replica: HAProxy sends their requests to the gateway.

Ray has them wait in its own proxy until there is a replica, which takes as long as a model loads. The gateway knows
more: while a model is loading it refuses with 503, in the format of the path's protocol, and it triggers the cold start
of a model that is scaled to zero. While no application has a replica, the service is starting, and HAProxy refuses; a
gateway that is replaced while models answer is waited for, as Ray does.

Ray writes the configuration anew whenever a replica comes or goes.
"""

import re
from collections.abc import Mapping

# The backend and the route prefix of each application.
_APPLICATION = re.compile(r"^ +acl is_(\S+) path (/\S*)$", re.MULTILINE)
_BACKEND = re.compile(r"^backend (\S+)\n((?:[ \t].*\n|\n)*)", re.MULTILINE)
_REPLICA = re.compile(r"^ +server (?!.* backup$)", re.MULTILINE)  # the backup is Ray's own proxy
_NO_APPLICATION = re.compile(r"^(backend default_backend\n) +http-request return status 404.*$", re.MULTILINE)

_REFUSE = "    http-request deny deny_status 503\n"  # with the answer of `serve.cluster.haproxy`


def waiting_prefixes(configuration: str) -> frozenset[str]:
    """The route prefixes of the applications without a replica."""
    backends = _waiting_backends(configuration)
    return frozenset(prefix for prefix, backend in _backends(configuration).items() if backend in backends)


def with_waiting_rules(configuration: str) -> str:
    """Ray's configuration of HAProxy, in which no request waits for a replica there."""
    backends, waiting = _backends(configuration), _waiting_backends(configuration)
    gateway = backends.get("/")
    # Every path is the gateway's, if not another's: without it, the service is starting or ending.
    configuration = _NO_APPLICATION.sub(lambda found: found[1] + _REFUSE.rstrip(), configuration)
    if gateway is None:
        return configuration
    for backend in waiting:
        rule = f"use_backend {{}} if is_{backend}\n"
        configuration = configuration.replace(rule.format(backend), rule.format(gateway))
    if waiting.issuperset(backends.values()):
        section = f"\nbackend {gateway}\n"
        configuration = configuration.replace(section, section + _REFUSE)
    return configuration


def _backends(configuration: str) -> Mapping[str, str]:
    """By route prefix: the name of the application's backend."""
    return {prefix: backend for backend, prefix in _APPLICATION.findall(configuration)}


def _waiting_backends(configuration: str) -> frozenset[str]:
    return frozenset(name for name, lines in _BACKEND.findall(configuration) if not _REPLICA.search(lines))
