"""Claims about large bodies: read in a side thread, answered as small ones are."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilter.contracts.prediction import FeedbackRecord, PredictionRecord
from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import InvalidRequest
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.limits import AT_ONCE_BYTES
from kilter.faces.serving.mlflow import endpoints as mlflow_endpoints
from kilter.faces.serving.oip.request import RequestCodec
from kilter.faces.serving.own.rows import RowCodec
from kilter.services.feedback import FeedbackIntake
from kilter.services.journal import Journal
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import FormulaFormat, MemoryLog, publish, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.faces.serving.router import Router

_PAIR = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="a", type=ColumnType.FLOAT), Column(name="b", type=ColumnType.FLOAT)),
)
_OTHER = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(Column(name="b", type=ColumnType.FLOAT), Column(name="a", type=ColumnType.FLOAT)),
)
_PAD = b" " * AT_ONCE_BYTES
_JSON = {b"content-type": b"application/json"}
_RAW = np.array([[4.0, 2.0], [6.0, 2.0]])
_HEAD = json.dumps(
    {"inputs": [{"name": "input", "datatype": "FP64", "shape": [2, 2], "parameters": {"binary_data_size": 32}}]}
).encode()
_CASES: dict[str, tuple[str, bytes, bytes, dict[bytes, bytes]]] = {
    "rows": ("/predict/price", b'[{"a": 4, "b": 2}, {"a": 6, "b": 2}]', b"", _JSON),
    "labels": (
        "/feedback/price",
        b'{"prediction_id": "018f3a00-0000-7000-8000-000000000000", "label": 3}',
        b"",
        _JSON,
    ),
    "tensors": (
        "/v2/models/price/infer",
        b'{"inputs": [{"name": "input", "datatype": "FP64", "shape": [2, 2], "data": [4, 2, 6, 2]}]}',
        b"",
        _JSON,
    ),
    "raw tensors": ("/v2/models/price/versions/1/infer", _HEAD, _RAW.tobytes(), {}),
    "a frame": ("/invocations/price", b'{"inputs": [[4, 2], [6, 2]]}', b"", _JSON),
}


class _Plane:
    """A data plane of one model."""

    def __init__(self) -> None:
        clock, self.blobs, self.log = SystemClock(), MemoryBlobs(), MemoryLog()
        journal = Journal(log=self.log, clock=clock)
        self.predictor = Predictor(
            journal=journal,
            blobs=self.blobs,
            materialise=lambda _, name: name,
            formats=lambda _: FormulaFormat(),
            clock=clock,
            ids=UuidSource(clock),
        )
        self.serve(1, _PAIR)
        self.router: Router = assemble(
            predictor=self.predictor,
            journal=journal,
            feedback=FeedbackIntake(clock=clock),
            is_failing=lambda: journal.failing,
        )

    def serve(self, generation: int, signature: Signature) -> None:
        """Put a table in force."""
        champion = publish(self.blobs, signature=signature, number=generation)
        self.predictor.prepare(table(generation, Route(deployment="price", champion=champion)))
        self.predictor.commit(generation)

    def ask(self, case: str, *, pad: bytes = _PAD) -> Any:  # noqa: ANN401 - a reply, or what it is waited for
        """Ask at once, on the thread of the caller."""
        path, head, tail, headers = _CASES[case]
        if tail:
            headers = {b"inference-header-content-length": b"%d" % len(head + pad)}
        found = self.router.find("POST", path)
        assert not isinstance(found, Reply)
        return found.handler(Request("POST", path, headers, head + pad + tail, 0), *found.names)


@pytest.fixture
def plane() -> _Plane:
    return _Plane()


async def _waited(answer: Any) -> Reply:  # noqa: ANN401 - as above
    return answer if isinstance(answer, Reply) else await answer


def _content(reply: Reply) -> Any:  # noqa: ANN401 - a document
    told = json.loads(reply.body)
    told.pop("prediction_id", None)
    told.pop("parameters", None)
    for row in told["predictions"] if "deployment" in told else ():
        del row["id"]
    return told


@pytest.mark.parametrize("case", _CASES)
def test_a_large_body_is_answered_as_a_small_one(plane: _Plane, case: str) -> None:
    small = plane.ask(case, pad=b"")
    assert isinstance(small, Reply)
    large = plane.ask(case)
    assert not isinstance(large, Reply)
    later = asyncio.run(_waited(large))
    assert (later.status, _content(later)) == (small.status, _content(small))
    kept = [one for one in plane.log.records if isinstance(one, (PredictionRecord, FeedbackRecord))]
    assert len(kept) == 2


def _blocked(monkeypatch: pytest.MonkeyPatch, before: Callable[[bytes], None]) -> None:
    """Have something happen before each body is decoded."""

    def wrapped(real: Callable[..., Any], place: int) -> Callable[..., Any]:
        def read(*arguments: Any) -> Any:  # noqa: ANN401 - whatever the reader takes and gives
            before(arguments[place])
            return real(*arguments)

        return read

    monkeypatch.setattr(RowCodec, "decode", wrapped(RowCodec.decode, 1))
    monkeypatch.setattr(RequestCodec, "decode", wrapped(RequestCodec.decode, 1))
    monkeypatch.setattr(FeedbackIntake, "records", wrapped(FeedbackIntake.records, 1))
    monkeypatch.setattr(mlflow_endpoints, "_read", wrapped(mlflow_endpoints._read, 2))  # noqa: SLF001 - the reader itself


@pytest.mark.parametrize("case", _CASES)
def test_others_are_answered_while_a_large_body_is_read(
    plane: _Plane, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released, loop_thread = threading.Event(), threading.Event(), threading.get_ident()
    seen: list[int] = []

    def before(_: object) -> None:
        seen.append(threading.get_ident())
        if len(seen) == 1:
            begun.set()
            assert released.wait(30)

    _blocked(monkeypatch, before)

    async def both() -> tuple[Reply, bool, Reply]:
        task = asyncio.ensure_future(_waited(plane.ask(case)))
        assert await asyncio.to_thread(begun.wait, 30)
        other = await _waited(plane.ask("rows", pad=b""))
        was_done = task.done()
        released.set()
        return other, was_done, await task

    other, was_done, reply = asyncio.run(both())
    assert (other.status, was_done) == (200, False)
    assert reply.status in {200, 202}
    assert seen[0] != loop_thread
    assert seen[1] == loop_thread


def test_a_swap_of_the_columns_meanwhile_has_the_body_read_again(
    plane: _Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[bytes] = []

    def before(body: bytes) -> None:
        bodies.append(body)
        if len(bodies) == 1:
            plane.serve(2, _OTHER)

    _blocked(monkeypatch, before)
    reply = asyncio.run(_waited(plane.ask("rows")))
    assert reply.status == 200
    assert len(bodies) == 2
    assert dict(reply.headers)[b"kilter-generation"] == b"2"


@pytest.mark.parametrize("case", ["rows", "labels", "tensors", "a frame"])
def test_a_large_malformed_body_is_the_clients_mistake(plane: _Plane, case: str) -> None:
    at = AT_ONCE_BYTES + len(_CASES[case][1]) + 1
    with pytest.raises(InvalidRequest, match=f"the body is not valid JSON: trailing characters at byte {at}"):
        asyncio.run(_waited(plane.ask(case, pad=_PAD + b"?")))
