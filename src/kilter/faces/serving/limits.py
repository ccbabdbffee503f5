"""What a request may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.errors import HeadersTooLarge, InvalidRequest, TooLarge
from kilter.faces.serving._nesting import is_deeper

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AT_ONCE_BYTES",
    "BODY_BYTES",
    "BODY_READ_S",
    "ELEMENTS",
    "HEADERS",
    "HEADER_BYTES",
    "IN_FLIGHT",
    "NESTING",
    "URL_BYTES",
    "WireLimits",
    "body_too_large",
    "check_headers",
    "check_length",
    "check_nesting",
]

AT_ONCE_BYTES = 256 * 1024
"""Bodies above this are read in a side thread, so that the loop can answer others meanwhile."""

BODY_BYTES = 16 * 2**20
BODY_READ_S = 30.0
ELEMENTS = 16 * 2**20
HEADERS = 100
HEADER_BYTES = 32 * 2**10
IN_FLIGHT = 1_024
NESTING = 32
URL_BYTES = 8 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """What a connection may cost, and how many there may be.

    The head of a request must be there within ``head_read_s``, its body within ``body_read_s`` and, after
    ``body_grace_s``, at ``body_least_bytes_s`` on average. A client that is refused while it sends is
    listened to for ``linger_s`` and ``linger_bytes`` at most, so that it can read why. At the end of the process idle
    connections stay for ``farewell_s``, because a request may be on its way.
    """

    connections: int = 4_096
    head_read_s: float = 10.0
    body_read_s: float = BODY_READ_S
    body_grace_s: float = 5.0
    body_least_bytes_s: float = 1_024.0
    keep_alive_s: float = 75.0
    write_stall_s: float = 30.0
    linger_s: float = 30.0
    linger_idle_s: float = 5.0
    linger_bytes: int = 2**30
    farewell_s: float = 0.5
    sweep_s: float = 1.0


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse more than 100 headers or 32 KiB of them."""
    sizes = [len(name) + len(value) for name, value in headers]
    if len(sizes) > HEADERS or sum(sizes) > HEADER_BYTES:
        got = f"{len(sizes)} headers of {sum(sizes)} bytes"
        message = f"the request has {got}, expected at most {HEADERS} of {HEADER_BYTES} bytes"
        raise HeadersTooLarge(
            message,
            hint="send fewer or shorter headers",
        )


def check_length(value: bytes | None, limit_bytes: int) -> None:
    """Refuse a body whose ``content-length`` is above the limit, before it is read."""
    if value is not None and value.isdigit() and int(value) > limit_bytes:
        raise body_too_large(limit_bytes)


def body_too_large(limit_bytes: int) -> TooLarge:
    """Build the error of a body above the limit."""
    return TooLarge(
        f"the body is larger than {limit_bytes} bytes",
        hint="send fewer rows per request, or score files with `kilter predict --in FILE`",
    )


def check_nesting(body: bytes) -> None:
    """Refuse JSON nested deeper than 32, in time that grows with its length whatever is in it."""
    if body.count(b"[") + body.count(b"{") > NESTING and is_deeper(body, NESTING):
        message = f"the JSON is nested deeper than {NESTING} levels"
        raise InvalidRequest(message, hint="send flat rows or tensors")
