"""What every JSON reader of the data plane shares: exact integers and the words for malformed text."""

from __future__ import annotations

import re

import msgspec

from kilter.errors import InvalidRequest

__all__ = ["EXACT", "malformed"]

EXACT = 2**53
"""Integers beyond this lose digits as float64."""

_PLACED = re.compile(r"(?P<what>[a-z ]+) \(byte (?P<place>\d+)\)\Z")


def malformed(cause: Exception, *, what: str = "the body", is_exact: bool = True) -> InvalidRequest:
    """Build the error of a text that is no JSON: what is wrong, and at which byte, but nothing of its content.

    Parameters
    ----------
    cause : Exception
        As the decoder raised it.
    what : str
        Names the text.
    is_exact : bool
        Whether the decoder's bytes are counted as the sender does.

    Returns
    -------
    InvalidRequest
        To be raised.
    """
    if isinstance(cause, RecursionError):
        return InvalidRequest("the JSON is nested too deeply", hint="send flat rows")
    if isinstance(cause, UnicodeDecodeError):
        return InvalidRequest(f"{what} is not valid UTF-8", hint="encode the request as UTF-8")
    return InvalidRequest(
        f"{what} is not valid JSON{_reason(cause, is_exact=is_exact)}",
        why=str(cause)[:200],
        hint="send one JSON document; NaN and Infinity are no JSON, send null for a missing value",
    )


def _reason(cause: Exception, *, is_exact: bool) -> str:
    """Return what the decoder says of the syntax; its other sentences may name keys of the content."""
    if isinstance(cause, msgspec.ValidationError):
        return ""
    sentence = str(cause)
    if found := _PLACED.search(sentence):
        what = found["what"].strip()
        return f": {what} at byte {found['place']}" if is_exact else f": {what}"
    return ": it ends too early" if "truncated" in sentence else ""
