"""Claims about the traces of gRPC calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kilter.faces.serving.grpc.exchange import Call, Outcome
from kilter.faces.serving.grpc.status import Status
from kilter.faces.serving.grpc.tracing import within_trace
from kilter.faces.serving.metrics.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Awaitable

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_PARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"
_PATH = "/inference.GRPCInferenceService/ModelInfer"
_DONE = Outcome(Status.OK, "", b"x", (("kilter-prediction-id", "p"),))


def _exported() -> tuple[Spans, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Spans(provider), exporter


@pytest.mark.parametrize("metadata", [(), (("a", "b"),), (("traceparent", "nonsense"),)])
def test_a_call_without_a_trace_passes_untouched(metadata: tuple[tuple[str, str], ...]) -> None:
    call = Call(_PATH, b"", metadata)
    seen: list[Call] = []

    def answer(given: Call) -> Outcome:
        seen.append(given)
        return _DONE

    assert within_trace(call, answer, None) is _DONE
    assert seen[0] is call


def test_the_trace_of_the_caller_is_told_in_the_trailing_metadata() -> None:
    call = Call(_PATH, b"", (("traceparent", _PARENT),))
    outcome = within_trace(call, lambda _: _DONE, None)
    assert isinstance(outcome, Outcome)
    assert outcome.trailers == (*_DONE.trailers, ("traceparent", _PARENT))


def test_a_span_covers_a_call_and_whoever_answers_sees_it() -> None:
    spans, exporter = _exported()
    call = Call(_PATH, b"", (("traceparent", _PARENT), ("x-request-id", "r")))
    seen: list[Call] = []

    async def later(given: Call) -> Outcome:
        seen.append(given)
        return _DONE._replace(status=Status.INTERNAL)

    waiting = within_trace(call, later, spans)
    assert not isinstance(waiting, Outcome)
    outcome = asyncio.run(_waited(waiting))
    (span,) = exporter.get_finished_spans()
    own = f"00-{_TRACE}-{span.context.span_id:016x}-01"
    assert (dict(seen[0].metadata), outcome.trailers[-1][1]) == ({"traceparent": own, "x-request-id": "r"}, own)
    assert (span.name, span.status.status_code) == (_PATH[1:], StatusCode.ERROR)
    assert dict(span.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 13,
        "kilter.prediction_id": "p",
    }


def test_a_fault_and_a_caller_who_left_end_the_span_too() -> None:
    spans, exporter = _exported()

    def broken(_: Call) -> Outcome:
        raise ZeroDivisionError

    async def left(_: Call) -> Outcome:
        raise asyncio.CancelledError

    with pytest.raises(ZeroDivisionError):
        within_trace(Call(_PATH, b""), broken, spans)
    waiting = within_trace(Call(_PATH, b""), left, spans)
    assert not isinstance(waiting, Outcome)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_waited(waiting))
    assert [span.status.status_code for span in exporter.get_finished_spans()] == [StatusCode.ERROR] * 2


async def _waited(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome
