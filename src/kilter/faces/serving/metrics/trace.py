"""W3C trace context: which trace a request is part of."""

from __future__ import annotations

import re

__all__ = ["TRACEPARENT", "trace_id_of", "valid"]

TRACEPARENT = b"traceparent"

_FORM = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<later>-.*)?"
)
_LENGTH = 55


def valid(traceparent: bytes) -> bytes | None:
    """Return a ``traceparent`` as it is passed on, cut to what this version knows; None if it is none."""
    found = _FORM.fullmatch(traceparent)
    if found is None or (found["later"] is not None and traceparent.startswith(b"00")):
        return None
    return traceparent if found["later"] is None else b"00" + traceparent[2:_LENGTH]


def trace_id_of(traceparent: bytes) -> str:
    """Return the 32 hexadecimal digits that name the trace; empty if the header is no ``traceparent``."""
    passed = valid(traceparent)
    return "" if passed is None else passed[3:35].decode("ascii")
