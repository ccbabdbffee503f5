"""What every JSON reader of the data plane shares: exact integers and the words for malformed text."""

from __future__ import annotations

from kilter.errors import InvalidRequest

__all__ = ["EXACT", "malformed"]

EXACT = 2**53
"""Integers beyond this lose digits as float64."""


def malformed(cause: Exception) -> InvalidRequest:
    """Build the error of a body that is no JSON."""
    if isinstance(cause, RecursionError):
        return InvalidRequest("the JSON is nested too deeply", hint="send flat rows")
    if isinstance(cause, UnicodeDecodeError):
        return InvalidRequest("the body is not valid UTF-8", hint="encode the request as UTF-8")
    return InvalidRequest(
        "the body is not valid JSON",
        why=str(cause)[:200],
        hint="send one JSON document; NaN and Infinity are no JSON, send null for a missing value",
    )
