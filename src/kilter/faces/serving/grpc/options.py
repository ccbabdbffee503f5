"""What a caller asks for beside the rows: in metadata, in parameters, and by its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.errors import InvalidRequest
from kilter.faces.serving.calls import Options

if TYPE_CHECKING:
    from kilter.faces.serving.grpc.exchange import Call
    from kilter.faces.serving.grpc.messages import Message

__all__ = ["options_of"]

_KEPT = frozenset({"kilter-routing-key", "kilter-timeout-ms", "x-request-id", "traceparent"})
_TEXT, _WHOLE = ("string_param",), ("int64_param", "uint64_param")


def options_of(request: Message, call: Call) -> Options:
    """Return the options of a prediction: metadata win over parameters, of deadlines the soonest holds.

    Parameters
    ----------
    request : inference.ModelInferRequest
        Its parameters may hold ``routing_key``, and ``timeout`` in microseconds, 0 for none.
    call : Call
        Its metadata may hold what HTTP has in headers.

    Raises
    ------
    InvalidRequest
        If a parameter is of another type, or a deadline is no whole number above 0.
    """
    headers = {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in call.metadata
        if key in _KEPT
    }
    routing_key: str | None = None
    deadline_ms: int | None = None
    parameters = request.parameters
    if "routing_key" in parameters:
        routing_key = _value(parameters["routing_key"], "routing_key", _TEXT)
    if "timeout" in parameters:
        timeout_us = _value(parameters["timeout"], "timeout", _WHOLE)
        deadline_ms = max(1, timeout_us // 1000) if timeout_us else None
    if call.remaining_s is not None:
        remaining_ms = int(call.remaining_s * 1000)
        deadline_ms = remaining_ms if deadline_ms is None else min(deadline_ms, remaining_ms)
    return Options(headers, routing_key, deadline_ms)


def _value(parameter: Message, name: str, kinds: tuple[str, ...]) -> Message:
    """Return a parameter's value if it is of one of these kinds, and not negative if it is a number."""
    kind = parameter.WhichOneof("parameter_choice")
    if kind in kinds and (kinds is _TEXT or getattr(parameter, kind) >= 0):
        return getattr(parameter, kind)
    expected = "a string" if kinds is _TEXT else "microseconds"
    message = f"parameter `{name}`: expected {expected} in {' or '.join(kinds)}, got {kind or 'nothing'}"
    raise InvalidRequest(message, hint=f"set {kinds[0]}", details={"field": name})
