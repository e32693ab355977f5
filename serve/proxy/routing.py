"""Routing rules of the proxy: HAProxy finds the model of a protocol's request, and sends it to the replica itself.

A request to the gateway takes one process more, and costs four times as much as one to a model's own path. HAProxy
finds the model in the path (`/models/minilm`, `/v2/models/minilm/infer`) or in the body (`{"model": "minilm"}`), and
rewrites the path to one below the model's prefix, from where Ray's own rules choose the replica:
`/tasks/feature-extraction/minilm/-/v1/embeddings`. The replica restores the path (`serve/middleware/stack.py`).

Everything else goes to the gateway: forms, bodies whose model is not among their first 64 KiB, unknown models, models
without a replica, and bodies without a model where several models could be meant.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from serve.cluster.haproxy import REROUTED
from serve.proxy.path_table import NATIVE, PathTable
from serve.proxy.waiting import waiting_prefixes

# Ray lists every application's prefix and name in the answer to `/-/routes`.
_ROUTES = re.compile(r'^ +http-request return .* string "((?:[^"\\]|\\.)*)" if routes$', re.MULTILINE)
_PREFIX = re.compile(r"/tasks/([^/]+)(/[^/]+)?")
_FRONTEND = "frontend http_frontend\n"
# In place of a prefix: only the gateway knows the order in which models are configured, and when a model will be there.
_GATEWAY = "-"

# `txn.prefix` is the prefix of the model's application. A body without `model` means the default model, but only if
# HAProxy has seen the whole body as it is.
_RULES = """\
    http-request set-var(txn.format) str({native}) if METH_POST {{ path -m reg ^/tasks/[^/]+(/[^/]+)?$ }}
    acl names_in_body path,map({folder}/defaults.map) -m found
    acl has_length req.hdr(content-length) -m found
    acl is_encoded req.hdr(content-encoding) -m found
    acl has_model var(txn.model) -m found
    acl is_whole req.body_size,sub(txn.held) eq 0
    acl has_prefix var(txn.prefix) -m beg /
    http-request set-var(txn.prefix) path,map({folder}/paths.map) if METH_POST
    http-request set-var(txn.held) req.body_len if METH_POST names_in_body
    http-request set-var(txn.model) req.body,json_query('$.model') if METH_POST names_in_body
    http-request set-var(txn.prefix) var(txn.model),map({folder}/models.map) if has_model
    http-request set-var(txn.prefix) var(txn.model),field(-1,/),map({folder}/models.map) if has_model !has_prefix
    http-request set-var(txn.prefix) path,map({folder}/defaults.map) \
if METH_POST names_in_body !has_model has_length is_whole !is_encoded
    http-request set-var(txn.format) path,map({folder}/formats.map,{native}) if has_prefix
    http-request set-path %[var(txn.prefix)]{rerouted}%[path] if has_prefix
"""


class RoutedModel(NamedTuple):
    """A model's application.

    Attributes:
        name: of the model.
        task: its task.
        prefix: of its paths.
        is_default: whether the prefix is the task's own.
        has_replica: whether HAProxy has one to send requests to.
    """

    name: str
    task: str
    prefix: str
    is_default: bool
    has_replica: bool

    @property
    def destination(self) -> str:
        """What the maps say of the model: its prefix, or that the gateway answers."""
        return self.prefix if self.has_replica else _GATEWAY


def routed_models(configuration: str) -> list[RoutedModel]:
    """The models in Ray's configuration of HAProxy; none while Ray has no route or is draining the node."""
    listed = _ROUTES.search(configuration)
    if listed is None or not listed[1].startswith("{"):
        return []
    routes: dict[str, str] = orjson.loads(re.sub(r"\\(.)", r"\1", listed[1]))
    found = [(prefix, name, _PREFIX.fullmatch(prefix)) for prefix, name in routes.items()]
    waiting = waiting_prefixes(configuration)
    return [
        RoutedModel(name, parts[1], prefix, parts[2] is None, prefix not in waiting)
        for prefix, name, parts in found
        if parts
    ]


def with_routing_rules(configuration: str, table: PathTable, folder: Path) -> str:
    """Ray's configuration of HAProxy with the rules; the maps that they read are written into `folder`."""
    models = routed_models(configuration)
    maps = {
        "models": {model.name: model.destination for model in models},
        "paths": dict(_paths(models, table)),
        "defaults": {path: _default(models, tasks) for path, tasks in table.by_body.items()},
        "formats": dict(_formats(models, table)),
    }
    for name, values in maps.items():
        (folder / f"{name}.map").write_text("".join(f"{key} {value}\n" for key, value in values.items()))
    rules = _RULES.format(folder=folder, native=NATIVE, rerouted=REROUTED)
    return configuration.replace(_FRONTEND, _FRONTEND + rules, 1)


def _paths(models: Sequence[RoutedModel], table: PathTable) -> Iterator[tuple[str, str]]:
    """Every path that names a model or an alias of its task, with the model's destination."""
    for model in models:
        for path in table.by_path:
            yield path.format(model=model.name), model.destination
        for below in table.below:
            yield f"/models/{model.name}{below}", model.destination
        for alias in table.aliases.get(model.task, ()):
            for below in table.below:
                yield f"/tasks/{alias}/{model.name}{below}", model.destination
    for alias in {alias for model in models for alias in table.aliases.get(model.task, ())}:
        tasks = [task for task, aliases in table.aliases.items() if alias in aliases]
        for below in table.below:
            yield f"/tasks/{alias}{below}", _default(models, tasks)


def _default(models: Sequence[RoutedModel], tasks: Sequence[str]) -> str:
    """The destination of a request that names no model."""
    found = [model for model in models if model.task in tasks]
    defaults = [model.destination for model in found if model.is_default]
    is_only_task = len({model.task for model in found}) == 1
    return defaults[0] if defaults and is_only_task else _GATEWAY


def _formats(models: Sequence[RoutedModel], table: PathTable) -> Iterator[tuple[str, str]]:
    for path, error_format in table.formats.items():
        for model in models if "{model}" in path else models[:1]:
            yield path.format(model=model.name), error_format
