"""A call that is part of a trace: its trailing metadata say so, a span covers it where spans are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.grpc.exchange import Outcome
from kilter.faces.serving.grpc.status import Status
from kilter.faces.serving.metrics.trace import TRACEPARENT, valid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilter.faces.serving.grpc.exchange import Call
    from kilter.faces.serving.metrics.spans import RequestSpan, Spans

__all__ = ["within_trace"]

_KEYS = ("traceparent", "tracestate")
_FAULTS = frozenset({Status.INTERNAL, Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.DATA_LOSS})


def within_trace(
    call: Call, answer: Callable[[Call], Outcome | Awaitable[Outcome]], spans: Spans | None
) -> Outcome | Awaitable[Outcome]:
    """Have a call answered within its trace; what is no part of one passes untouched.

    Parameters
    ----------
    call : Call
        Its metadata may hold ``traceparent``; whoever answers sees the one of its own span.
    answer : callable
        Answers, and words every refusal.
    spans : Spans or None
        Makes spans.
    """
    carried = {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in call.metadata
        if key in _KEYS
    }
    if spans is None and TRACEPARENT not in carried:
        return answer(call)
    span = None
    header = valid(carried.get(TRACEPARENT, b""))
    if spans is not None:
        service, _, method = call.path.strip("/").rpartition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        span = spans.begin(f"{service}/{method}", carried, attributes)
        header = span.header
    if header is None:
        return answer(call)
    own = (_KEYS[0], header.decode())
    call = call._replace(metadata=(*(pair for pair in call.metadata if pair[0] != _KEYS[0]), own))
    try:
        outcome = answer(call)
    except BaseException:
        _end(span, None)
        raise
    return _marked(outcome, own, span) if isinstance(outcome, Outcome) else _later(outcome, own, span)


async def _later(outcome: Awaitable[Outcome], own: tuple[str, str], span: RequestSpan | None) -> Outcome:
    """Wait for an outcome; one that nobody waits for any more ends its span too."""
    try:
        there = await outcome
    except BaseException:
        _end(span, None)
        raise
    return _marked(there, own, span)


def _marked(outcome: Outcome, own: tuple[str, str], span: RequestSpan | None) -> Outcome:
    """Say in the trailing metadata which trace the call is part of."""
    _end(span, outcome)
    return outcome._replace(trailers=(*outcome.trailers, own))


def _end(span: RequestSpan | None, outcome: Outcome | None) -> None:
    """End a span, if there is one."""
    if span is not None:
        status = Status.INTERNAL if outcome is None else outcome.status
        told = () if outcome is None else outcome.trailers
        span.end({"rpc.grpc.status_code": int(status)}, told, is_fault=status in _FAULTS)
