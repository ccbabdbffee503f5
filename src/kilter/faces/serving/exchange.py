"""What passes between the wire and those who answer: a whole request in, a whole answer out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import orjson

if TYPE_CHECKING:
    from kilter.errors import KilterError

__all__ = ["JSON", "Answer", "Handler", "Reply", "Request", "Wording", "json_reply", "plain_wording"]

JSON = (b"content-type", b"application/json")


class Request(NamedTuple):
    """One complete request.

    ``path`` is decoded and without query, header names are lower case, ``body`` is free of any content
    coding, ``started_ns`` is ``time.perf_counter_ns()`` of its arrival.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes
    started_ns: int = 0


class Reply(NamedTuple):
    """One complete answer; ``content-length`` is the sender's business."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


Answer: TypeAlias = Reply | Awaitable[Reply]
"""Now, or later: a side thread, a worker or a device must be waited for."""

Handler: TypeAlias = Callable[..., Answer]
"""Answers a request: called with it and with the names in its path, in order; raises KilterError."""

Wording: TypeAlias = Callable[["KilterError", int], bytes]
"""A protocol's error body, from an error and its status."""


def json_reply(status: int, document: object) -> Reply:
    """Return a plain JSON answer."""
    return Reply(status, [JSON], orjson.dumps(document))


def plain_wording(error: KilterError, _: int) -> bytes:
    """Return kilter's own error document."""
    field = error.details.get("field")
    return orjson.dumps({"error": error.message, "code": error.code, "field": field, "hint": error.hint})
