"""What a request may cost before it is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilter.errors import HeadersTooLarge, InvalidRequest, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BODY_BYTES",
    "BODY_READ_S",
    "ELEMENTS",
    "HEADERS",
    "HEADER_BYTES",
    "IN_FLIGHT",
    "NESTING",
    "body_too_large",
    "check_headers",
    "check_length",
    "check_nesting",
]

BODY_BYTES = 16 * 2**20
BODY_READ_S = 30.0
ELEMENTS = 16 * 2**20
HEADERS = 100
HEADER_BYTES = 32 * 2**10
IN_FLIGHT = 1_024
NESTING = 32

_NO_BRACKETS = bytes(code for code in range(256) if code not in b'[]{}"')
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_PAIR = re.compile(rb"\[\]|\{\}")
_TOKEN = re.compile(rb'"[^"]*"?|[\[{]|[\]}]')


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
    """Refuse JSON nested deeper than 32, at the speed of C: brackets are cancelled out level by level."""
    if body.count(b"[") + body.count(b"{") <= NESTING:
        return
    plain = _ESCAPED.sub(b"", body) if b"\\" in body else body
    brackets = plain.translate(None, _NO_BRACKETS).replace(b'""', b"")
    if b'"' in brackets:
        depth = _scanned_depth(plain)
    else:
        depth = 0
        while brackets and depth <= NESTING:
            shorter = _PAIR.sub(b"", brackets)
            depth += 1
            if len(shorter) == len(brackets):  # not balanced: malformed, which the decoder says better
                return
            brackets = shorter
    if depth > NESTING:
        message = f"the JSON is nested deeper than {NESTING} levels"
        raise InvalidRequest(message, hint="send flat rows or tensors")


def _scanned_depth(body: bytes) -> int:
    """Count the deepest nesting token by token, for bodies with brackets inside strings."""
    depth = deepest = 0
    for token in _TOKEN.finditer(body):
        first = token.group()[0]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest
