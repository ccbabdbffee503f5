"""A data plane that speaks the Open Inference Protocol, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilter.contracts.prediction import EventRecord
from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import KilterError
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.oip.endpoints import OipEndpoints
from kilter.faces.serving.oip.repository import Repository
from kilter.faces.serving.router import Router
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.meters import Statistics
    from kilter.contracts.overrides import Overrides

PAIR = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT, nullable=True)),
)
COUNTS = Signature(
    task=Task.MULTICLASS,
    target="kind",
    columns=(Column(name="n", type=ColumnType.INTEGER),),
    classes=("red", "grün", "blue"),
)
WORD = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="word", type=ColumnType.TEXT),))
FLAG = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="flag", type=ColumnType.BOOLEAN),))


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test's document
        return json.loads(self.body)

    @property
    def parts(self) -> tuple[Any, bytes]:
        """The JSON part, and what is behind it."""
        length = int(self.headers["inference-header-content-length"])
        return json.loads(self.body[:length]), self.body[length:]


class _Predictor(Predictor):
    """A predictor some of whose isolated versions have fallen too often."""

    fallen: tuple[tuple[str, int], ...] = ()

    def broken(self) -> tuple[tuple[str, int], ...]:
        """Return those of the test."""
        return self.fallen


class Plane:
    """Answers requests through the router."""

    def __init__(self, *, overrides: Overrides | None = None, is_empty: bool = False) -> None:
        self.log = MemoryLog()
        clock, blobs = SystemClock(), MemoryBlobs()
        self.is_failing = False
        self.counted: dict[tuple[str, str], Statistics] = {}
        self.journal = Journal(log=self.log, clock=clock)
        self.predictor = _Predictor(
            journal=self.journal,
            blobs=blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
        )
        self.routes = (
            Route(deployment="churn", champion=publish(blobs), previous=publish(blobs, number=2), max_rows=100),
            Route(deployment="pair", champion=publish(blobs, signature=PAIR)),
            Route(deployment="counts", champion=publish(blobs, signature=COUNTS)),
            Route(deployment="word", champion=publish(blobs, signature=WORD)),
            Route(deployment="flag", champion=publish(blobs, signature=FLAG)),
        )
        if not is_empty:
            self.swap(7)
        self.repository = Repository(predictor=self.predictor, journal=self.journal, overrides=overrides)
        self.endpoints = OipEndpoints(
            predictor=self.predictor,
            repository=self.repository,
            is_failing=lambda: self.is_failing,
            totals=lambda: self.counted,
        )
        self.router = Router([self.endpoints])

    def swap(self, generation: int) -> None:
        """Put the same routes in force under another number."""
        self.predictor.prepare(table(generation, *self.routes))
        self.predictor.commit(generation)

    @property
    def events(self) -> list[EventRecord]:
        """What was written down beside predictions."""
        return [record for record in self.log.records if isinstance(record, EventRecord)]

    def __call__(
        self, method: str, path: str, body: object = b"", *, headers: dict[str, object] | None = None
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        raw = {name.encode(): str(value).encode() for name, value in (headers or {}).items()}
        reply = asyncio.run(self._answer(Request(method, path, raw, data, 0)))
        return Answer(reply.status, {name.decode(): value.decode() for name, value in reply.headers}, reply.body)

    async def _answer(self, request: Request) -> Reply:
        try:
            answer = self.router.answer(request)
            return answer if isinstance(answer, Reply) else await answer
        except KilterError as error:
            return self.router.refusal(error, request.path)

    def infer(
        self, name: str, document: object, tail: bytes = b"", *, length: object = None, **headers: object
    ) -> Answer:
        """Ask for an inference; with a tail the length of the JSON part is told."""
        head = document if isinstance(document, bytes) else json.dumps(document).encode()
        told: dict[str, object] = {key.replace("_", "-"): value for key, value in headers.items()}
        if tail or length is not None:
            told["inference-header-content-length"] = len(head) if length is None else length
        return self("POST", f"/v2/models/{name}/infer", head + tail, headers=told)


@pytest.fixture(scope="module")
def plane() -> Plane:
    return Plane()


@pytest.fixture
def make_plane() -> Callable[..., Plane]:
    """Build a plane of one's own."""
    return Plane
