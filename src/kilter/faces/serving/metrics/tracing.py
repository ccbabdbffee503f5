"""A request that is part of a trace: its answer says so, errors too, and a span covers it where spans are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.errors import KilterError
from kilter.faces.serving.exchange import Reply
from kilter.faces.serving.metrics.trace import TRACEPARENT, valid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilter.faces.serving.exchange import Answer, Request
    from kilter.faces.serving.metrics.spans import RequestSpan, Spans

__all__ = ["traced"]

_FAULT = 500


def traced(
    request: Request,
    *,
    handler: Callable[[Request], Answer],
    refusal: Callable[[KilterError], Reply],
    spans: Spans | None,
    pattern: str,
) -> Answer:
    """Have a request answered within its trace.

    Parameters
    ----------
    request : Request
        Its ``traceparent`` names the trace; the handler sees the one of its own span.
    handler : callable
        Answers.
    refusal : callable
        Words an error.
    spans : Spans or None
        Makes spans.
    pattern : str
        The path without the names in it.
    """
    span = None
    if spans is not None:
        attributes = {"http.request.method": request.method, "http.route": pattern}
        span = spans.begin(f"{request.method} {pattern}", request.headers, attributes)
    header = valid(request.headers.get(TRACEPARENT, b"")) if span is None else span.header
    if header is not None:
        request = request._replace(headers={**request.headers, TRACEPARENT: header})
    try:
        answer = handler(request)
    except KilterError as error:
        answer = refusal(error)
    except BaseException:
        _end(span, _FAULT)
        raise
    return _marked(answer, header, span) if isinstance(answer, Reply) else _later(answer, refusal, header, span)


async def _later(
    answer: Awaitable[Reply], refusal: Callable[[KilterError], Reply], header: bytes | None, span: RequestSpan | None
) -> Reply:
    """Wait for an answer; one that nobody waits for any more ends its span too."""
    try:
        reply = await answer
    except KilterError as error:
        reply = refusal(error)
    except BaseException:
        _end(span, _FAULT)
        raise
    return _marked(reply, header, span)


def _marked(reply: Reply, header: bytes | None, span: RequestSpan | None) -> Reply:
    """Say in the answer which trace it is part of."""
    _end(span, reply.status, reply.headers)
    return reply if header is None else reply._replace(headers=[*reply.headers, (TRACEPARENT, header)])


def _end(span: RequestSpan | None, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """End a span, if there is one."""
    if span is not None:
        told = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers or ())
        span.end({"http.response.status_code": status}, told, is_fault=status >= _FAULT)
