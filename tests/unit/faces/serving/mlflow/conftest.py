"""A data plane that speaks MLflow's protocol, without a server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import KilterError
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.mlflow.endpoints import MlflowEndpoints
from kilter.faces.serving.router import Router
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERS = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT, nullable=True)),
)
ONE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="x", type=ColumnType.INTEGER, nullable=True),))
THREE = Signature(
    task=Task.MULTICLASS,
    target="kind",
    columns=(Column(name="x", type=ColumnType.FLOAT),),
    classes=("a", "b", "c"),
)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test's document
        return json.loads(self.body)


class Plane:
    """Answers requests through the router."""

    def __init__(self, *deployments: str, default: str = "") -> None:
        self.log = MemoryLog()
        clock, blobs = SystemClock(), MemoryBlobs()
        self.is_failing = False
        self.predictor = Predictor(
            journal=Journal(log=self.log, clock=clock),
            blobs=blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
        )
        routes = {
            "churn": lambda: Route(deployment="churn", champion=publish(blobs), max_rows=100),
            "price": lambda: Route(deployment="price", champion=publish(blobs, signature=NUMBERS)),
            "one": lambda: Route(deployment="one", champion=publish(blobs, signature=ONE)),
            "kind": lambda: Route(deployment="kind", champion=publish(blobs, signature=THREE)),
        }
        if deployments:
            self.predictor.prepare(table(7, *(routes[name]() for name in deployments)))
            self.predictor.commit(7)
        self.blobs = blobs
        self.endpoints = MlflowEndpoints(
            predictor=self.predictor, is_failing=lambda: self.is_failing, default_deployment=default
        )
        self.router = Router([self.endpoints])

    def __call__(
        self,
        path: str,
        body: object = b"",
        media: str | None = "application/json",
        *,
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        if media is not None:
            raw[b"content-type"] = media.encode()
        return asyncio.run(self._call(Request(method, path, raw, data), path))

    async def _call(self, request: Request, path: str) -> Answer:
        try:
            answer = self.router.answer(request)
            reply = answer if isinstance(answer, Reply) else await answer
        except KilterError as error:
            reply = self.router.refusal(error, path)
        headers = {name.decode(): value.decode() for name, value in reply.headers}
        return Answer(reply.status, headers, reply.body)


@pytest.fixture(scope="module")
def plane() -> Plane:
    return Plane("churn", "price", "one", "kind")


@pytest.fixture(scope="module")
def make_plane() -> Callable[..., Plane]:
    return Plane


@pytest.fixture(scope="module")
def row() -> dict[str, object]:
    """One good row of ``churn``."""
    return {"age": 40, "visits": 3, "is member": True, "plan": "basic", "income": 1.5, "region": "north"}
