"""Claims about HTTP requests within a trace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from kilter.errors import InvalidRequest, KilterError
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.metrics.spans import Spans
from kilter.faces.serving.metrics.tracing import traced

if TYPE_CHECKING:
    from kilter.faces.serving.exchange import Answer, Handler

_PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_REQUEST = Request("POST", "/predict/churn", {b"traceparent": _PARENT}, b"")


def _refusal(error: KilterError) -> Reply:
    return Reply(400, [(b"kilter-error-code", error.code.encode())], b"")


def _answered(handler: Handler, spans: Spans | None = None) -> Answer:
    return traced(_REQUEST, handler=handler, refusal=_refusal, spans=spans, pattern="/predict/{}")


async def _later(reply: Reply | BaseException) -> Reply:
    await asyncio.sleep(0)
    if isinstance(reply, Reply):
        return reply
    raise reply


async def _waited(answer: Answer) -> Reply:
    assert not isinstance(answer, Reply)
    return await answer


def test_an_answer_that_comes_later_is_marked_when_it_is_there() -> None:
    headers = [(b"a", b"b")]
    reply = asyncio.run(_waited(_answered(lambda _: _later(Reply(200, headers, b"x")))))
    assert reply == Reply(200, [(b"a", b"b"), (b"traceparent", _PARENT)], b"x")
    assert headers == [(b"a", b"b")]


def test_an_error_that_comes_later_is_worded_and_marked() -> None:
    reply = asyncio.run(_waited(_answered(lambda _: _later(InvalidRequest("no")))))
    assert reply.status == 400
    assert reply.headers == [(b"kilter-error-code", b"input.invalid"), (b"traceparent", _PARENT)]


def test_a_fault_and_a_client_who_left_end_the_span_too() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider)

    def broken(_: Request) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _answered(broken, spans)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_waited(_answered(lambda _: _later(asyncio.CancelledError()), spans)))
    assert [span.status.status_code for span in exporter.get_finished_spans()] == [StatusCode.ERROR] * 2
