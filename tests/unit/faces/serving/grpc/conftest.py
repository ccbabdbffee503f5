"""A data plane in memory that is called over gRPC's messages, with and without its wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from kilter.contracts.batch import Batch
from kilter.contracts.prediction import PredictionRecord
from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.faces.serving.grpc.exchange import Call, Outcome
from kilter.faces.serving.grpc.messages import INFERENCE, Messages
from kilter.faces.serving.grpc.service import GrpcService
from kilter.faces.serving.oip.repository import Repository
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

if TYPE_CHECKING:
    from kilter.errors import KilterError

Message: TypeAlias = Any

MATRIX = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(
        Column(name="a", type=ColumnType.FLOAT, nullable=True),
        Column(name="b", type=ColumnType.FLOAT),
        Column(name="c", type=ColumnType.FLOAT),
    ),
)
COUNTS = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="n", type=ColumnType.INTEGER), Column(name="ok", type=ColumnType.BOOLEAN)),
)


class Plane:
    """Five deployments behind a gRPC service, and what was refused."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        clock, blobs = SystemClock(), MemoryBlobs()
        self.journal = Journal(log=self.log, clock=clock)
        self.predictor = Predictor(
            journal=self.journal,
            blobs=blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
        )
        routes = (
            Route(deployment="churn", champion=publish(blobs), previous=publish(blobs, number=2), max_rows=100),
            Route(deployment="price", champion=publish(blobs, signature=MATRIX)),
            Route(deployment="counts", champion=publish(blobs, signature=COUNTS)),
            Route(deployment="sick", champion=publish(blobs, mode="nan")),
            Route(deployment="safe", champion=publish(blobs, signature=MATRIX), durable="disk"),
        )
        self.predictor.prepare(table(41, *routes))
        self.predictor.commit(41)
        self.refused: list[tuple[KilterError, str]] = []
        self.messages = Messages()
        self.service = GrpcService(
            predictor=self.predictor,
            repository=Repository(predictor=self.predictor, journal=self.journal),
            is_failing=lambda: self.journal.failing,
            on_refused=lambda error, name: self.refused.append((error, name)),
        )

    def message(self, name: str, /, **fields: object) -> Message:
        """Build a message of the protocol."""
        return self.messages.of(f"inference.{name}")(**fields)

    def call(
        self,
        method: str,
        request: Message = b"",
        *,
        service: str = INFERENCE,
        metadata: tuple[tuple[str, str | bytes], ...] = (),
        remaining_s: float | None = None,
    ) -> Outcome:
        """Call without a wire."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        outcome = self.service.answer(Call(f"/{service}/{method}", body, metadata, 0, remaining_s))

        async def awaited() -> Outcome:
            return outcome if isinstance(outcome, Outcome) else await outcome

        return asyncio.run(awaited())

    def told(self, method: str, request: Message = b"", **further: Any) -> Message:  # noqa: ANN401 - as of call
        """Call, and return the message that comes back."""
        outcome = self.call(method, request, **further)
        assert outcome.status == 0, outcome
        path = f"/{further.get('service', INFERENCE)}/{method}"
        return self.messages.methods()[path].response.FromString(outcome.body)

    def batch(self, rows: int) -> Batch:
        """Build rows for ``churn`` that differ from one another."""
        rng = np.random.default_rng(rows)
        text = np.empty((rows, 2), dtype=np.object_)
        text[:] = "basic", "north"
        return Batch(rows=rows, numeric=rng.normal(0, 400, (rows, 4)), text=text)

    def last(self) -> PredictionRecord:
        """Return the record written last."""
        return [record for record in self.log.records if isinstance(record, PredictionRecord)][-1]


@pytest.fixture
def plane() -> Plane:
    return Plane()
