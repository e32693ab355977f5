"""One model's parity: its answers through HTTP, alone, in a crowd and reordered, against those of transformers."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.layouts.check import TOLERANCES
from deployments.openvino.agreement import Agreement
from deployments.replica.replica import Replica
from serve.cli.parity.asking import Asking
from serve.cli.parity.comparison import Difference, Failure, compare
from serve.cli.parity.examples import Case
from serve.cli.parity.reference import Reference, reference_of
from serve.cli.parity.source import NoReference, Source
from serve.config.service import Limits, MediaSources
from serve.routes import Route

RUNS = ("alone", "crowd", "reordered")
PATIENCE_S = 600.0  # for one answer
SEED = 0


@dataclass(frozen=True, slots=True)
class Service:
    """Where a model is asked.

    Attributes:
        url: of a running service; None: the model is loaded in this process.
        key: API key of that service.
        limits: of the requests, in this process.
    """

    url: str | None = None
    key: str | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Run:
    """One of the three runs.

    Attributes:
        difference: the largest of all numbers; None if the answers have none.
        agreeing: answers whose labels, texts and offsets agree.
        wrong: the first inputs whose answers differ, with what differs.
    """

    difference: float | None
    agreeing: int
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Parity:
    """What was found of one model.

    Attributes:
        model: its name.
        task: its task's name.
        auto_model: the class of transformers that it is compared with.
        architecture: the model's class.
        mode: the layout, or how it generates.
        dtype: of its weights.
        tolerance: largest difference that counts as equal.
        inputs: number that were compared.
        distinct: different answers among their references; a model that says the same of everything proves little.
        skipped: inputs without a reference, and why, the first few.
        runs: by name, as in `RUNS`.
        verdict: "equal", "differs", "measured" of a build that is not expected to be equal, "no reference" or "failed".
        reason: of the last two.
        build: how far such a build was from torch where it was made.
    """

    model: str
    task: str
    auto_model: str
    architecture: str = ""
    mode: str = ""
    dtype: str = ""
    tolerance: float = 0.0
    inputs: int = 0
    distinct: int = 0
    skipped: list[str] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    verdict: str = "no reference"
    reason: str = ""
    build: Agreement | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether an answer differs, or the model could not be asked."""
        return self.verdict in ("differs", "failed")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def parity_of(config: ModelConfig, route: Route, lines: Sequence[str] | None, service: Service) -> Parity:
    """Ask a model and transformers the same. Call it in a process of its own, which then holds the model twice.

    Args:
        config: the model.
        route: to it.
        lines: the user's inputs, as `reference.Reference.cases` reads them; None: our own.
        service: where the model is asked.

    Raises:
        LoadError: the model cannot be loaded or reached, or an input cannot be read.
    """
    return asyncio.run(_parity(config, route, lines, service))


async def _parity(config: ModelConfig, route: Route, lines: Sequence[str] | None, service: Service) -> Parity:
    found = Parity(route.model, route.task, route.kind.auto_model)
    async with _client(config, route, service) as client:
        about = await _description(client, route.path)
        found.architecture, found.dtype = about["architecture"], about["dtype"]
        found.mode = about.get("layout") or about.get("generation", {}).get("mode", "")
        if measured := about.get("backend_agreement"):
            found.build = Agreement(**measured)
        found.tolerance = TOLERANCES.get(found.dtype, TOLERANCES["float32"])
        try:
            cases, expected = _expected(found, route.kind, Source(config, about), lines)
        except NoReference as reason:
            found.reason = str(reason)
            return found
        reference = reference_of(route.kind)
        wraps = _wraps(reference, config, about)
        asking = Asking(client, route.path, reference.fields, service.limits, wraps=wraps, seed=SEED)
        for name in RUNS:
            answers = await getattr(asking, name)([case.inputs for case in cases])
            found.runs[name] = _compared(cases, answers, expected, found.tolerance)
            failures = [answer.message for answer in answers if isinstance(answer, Failure)]
            if found.build is not None and failures:
                raise LoadError(f"{name}: {failures[0]}")
    found.verdict = _verdict(found)
    return found


def _verdict(found: Parity) -> str:
    if found.build is not None:
        return "measured"
    return "differs" if any(run.wrong for run in found.runs.values()) else "equal"


def _wraps(reference: Reference, config: ModelConfig, about: Mapping[str, Any]) -> bool:
    if reference.wraps is not None:
        return reference.wraps
    configured = None if config.pooling is None or not config.pooling.modes else config.pooling
    return about.get("pooling", configured) is not None


def _expected(
    found: Parity, kind: type[Task[Any, Any]], source: Source, lines: Sequence[str] | None
) -> tuple[list[Case], list[Any]]:
    """The cases that have a reference, with their answers; the others are noted in `found.skipped`.

    Raises:
        NoReference: no case has one.
    """
    reference = reference_of(kind)
    try:
        answer = reference.load(source)
    except NoReference:
        raise
    except Exception as error:  # its files may want what transformers lacks
        raise NoReference(f"transformers cannot load it ({type(error).__name__}: {error})") from error
    cases, expected = [], []
    for case in reference.cases(source, lines):
        try:
            expected.append(answer(case.inputs))
        except NoReference as reason:
            found.skipped.append(f"{case.name}: {reason}")
        except Exception as error:  # transformers fails in any way on an input that it does not take
            found.skipped.append(f"{case.name}: transformers fails ({type(error).__name__}: {error})")
        else:
            cases.append(case)
    found.inputs, found.distinct = len(cases), len({pickle.dumps(each) for each in expected})
    if not cases:
        raise NoReference(found.skipped[0] if found.skipped else "no inputs")
    return cases, expected


def _compared(cases: Sequence[Case], answers: Sequence[Any], expected: Sequence[Any], tolerance: float) -> Run:
    differences = [compare(own, other, tolerance) for own, other in zip(answers, expected, strict=True)]
    wrong = [
        f"{case.name}: {each.what or f'differs by {each.number:.1e}'}"
        for case, each in zip(cases, differences, strict=True)
        if each.what or (each.number or 0) > tolerance
    ]
    agreeing = sum(not each.what for each in differences)
    return Run(sum(differences, Difference()).number, agreeing, tuple(wrong))


async def _description(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """The service's description of the model.

    Raises:
        LoadError: there is none.
    """
    try:
        response = await client.get(path)
        described: dict[str, Any] = response.json() if response.status_code == 200 else {}
    except httpx.HTTPError as error:
        raise LoadError(f"no answer from {client.base_url} ({error})") from None
    except ValueError:
        described = {}
    if "architecture" not in described:
        raise LoadError(f"GET {path} returns status {response.status_code}: {response.text[:200]}")
    return described


@asynccontextmanager
async def _client(config: ModelConfig, route: Route, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running service, or of the model's application in this process.

    Raises:
        LoadError: the model cannot be loaded.
    """
    if service.url is not None:
        headers = {} if service.key is None else {"authorization": f"Bearer {service.key}"}
        try:
            running = httpx.AsyncClient(base_url=service.url, headers=headers, timeout=PATIENCE_S)
        except httpx.InvalidURL as error:
            raise LoadError(f"--url {service.url!r} is not a URL: {error}") from None
        async with running as client:
            yield client
        return
    from serve.model.app import ModelApp
    from serve.model.endpoint import Endpoint

    limits = service.limits.model_copy(update={"request_timeout_s": PATIENCE_S})
    replica = Replica(config, route.kind)
    try:
        replica.load()
        app = ModelApp(Endpoint(replica, route, limits, MediaSources()), replica, route, limits)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://model", timeout=PATIENCE_S) as client:
            yield client
    finally:
        replica.stop()
