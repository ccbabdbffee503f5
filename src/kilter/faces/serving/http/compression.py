"""Content codings: bodies of requests are inflated within limits, long answers deflated where the client takes it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from kilter.errors import InvalidRequest, UnsupportedMedia
from kilter.faces.serving.exchange import Reply
from kilter.faces.serving.limits import body_too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FROM_BYTES", "Inflation", "chosen", "coding_of", "compressed", "inflation"]

FROM_BYTES = 1_024
"""Shorter answers are sent as they are."""

_GZIP, _DEFLATE = b"gzip", b"deflate"
_NAMES: Mapping[bytes, bytes] = {b"gzip": _GZIP, b"x-gzip": _GZIP, b"deflate": _DEFLATE}
_PLAIN = (b"", b"identity")
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_MEMBERS = 64
_TORN, _MORE = "it ends too early", "something follows its end"
_LEVEL = 1
_VARY = (b"vary", b"accept-encoding")


class Inflation:
    """One body on its way out of its coding.

    Guarantees: never holds more than the limit and one step, whatever the body claims.

    Parameters
    ----------
    coding : bytes
        ``gzip`` or ``deflate``, the latter with or without zlib's wrapper.
    body : bytes
        As it came.
    limit_bytes : int
        Most bytes that may come out.
    """

    def __init__(self, coding: bytes, body: bytes, limit_bytes: int) -> None:
        self._bits = _GZIP_BITS if coding == _GZIP else _ZLIB_BITS if _is_wrapped(body) else _RAW_BITS
        self._coding = coding
        self._body = self._rest = body
        self._limit_bytes = limit_bytes
        self._members = 1
        self._stream = zlib.decompressobj(self._bits)
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def body(self) -> bytes:
        """What came out so far."""
        return b"".join(self._parts)

    def run(self, budget_bytes: int | None = None) -> bool:
        """Go on until everything, or about the budget, is out; True if that is everything.

        Raises
        ------
        TooLarge
            If more comes out than the limit.
        InvalidRequest
            If the body is not in its coding, or ends too early.
        """
        until = self._limit_bytes if budget_bytes is None else min(self._size + budget_bytes, self._limit_bytes)
        while True:
            part = self._step(until + 1 - self._size)
            self._parts.append(part)
            self._size += len(part)
            if self._size > self._limit_bytes:
                raise body_too_large(self._limit_bytes)
            if self._stream.eof:
                if self._is_last_member():
                    return True
            elif not part and not self._rest:
                raise self._malformed(_TORN)
            elif self._size > until:
                return False

    def _step(self, most: int) -> bytes:
        """Inflate some bytes."""
        try:
            part = self._stream.decompress(self._rest, most)
        except zlib.error as error:
            if self._bits != _ZLIB_BITS or self._size:
                raise self._malformed(str(error).rpartition(": ")[2]) from error
            self._bits = _RAW_BITS  # a raw stream may begin like a wrapper
            self._stream = zlib.decompressobj(self._bits)
            self._rest = self._body
            return self._step(most)
        self._rest = self._stream.unconsumed_tail
        return part

    def _is_last_member(self) -> bool:
        """Begin the next member of a gzip file, if there is one."""
        rest = self._stream.unused_data
        if not rest.strip(b"\0"):
            return True
        self._members += 1
        if self._bits != _GZIP_BITS or not rest.startswith(_GZIP_MAGIC) or self._members > _MAX_MEMBERS:
            raise self._malformed(_MORE)
        self._stream = zlib.decompressobj(self._bits)
        self._rest = rest
        return False

    def _malformed(self, why: str) -> InvalidRequest:
        """Build the error of a body that is not what its header says."""
        coding = self._coding.decode()
        return InvalidRequest(
            f"the body is no valid {coding}: {why}",
            hint="send the whole compressed body, or leave `content-encoding` out",
            details={"field": "content-encoding"},
        )


def inflation(headers: Mapping[bytes, bytes], body: bytes, limit_bytes: int) -> Inflation | None:
    """Return how to get at a body in a coding, or None if it is in none.

    Raises
    ------
    UnsupportedMedia
        If the coding is not spoken here; the error names those that are.
    """
    coding = coding_of(headers)
    return None if coding is None or not body else Inflation(coding, body, limit_bytes)


def coding_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the coding of a request's body, None for a plain one.

    Raises
    ------
    UnsupportedMedia
        If it is not spoken here.
    """
    named = headers.get(b"content-encoding")
    if named is None or (name := named.strip().lower()) in _PLAIN:
        return None
    if name in _NAMES:
        return _NAMES[name]
    message = f"the body has the content coding `{named.decode('latin-1')[:40]}`, which is not spoken here"
    raise UnsupportedMedia(
        message,
        hint="send `content-encoding: gzip`, `deflate` or `identity`",
        details={"field": "content-encoding", "accept_encoding": "gzip, deflate, identity"},
    )


def chosen(accepted: bytes | None) -> bytes | None:
    """Return the coding that a client wants its answer in, None for none.

    Parameters
    ----------
    accepted : bytes or None
        Its ``accept-encoding``, with weights.
    """
    if not accepted:
        return None
    weights = dict(_weighted(part) for part in accepted.lower().split(b","))
    others = weights.get(b"*", 0.0)
    gzip = weights.get(_GZIP, weights.get(b"x-gzip", others))
    deflate = weights.get(_DEFLATE, others)
    best = max(gzip, deflate)
    if best <= 0 or weights.get(b"identity", 0.0) > best:
        return None
    return _GZIP if gzip >= deflate else _DEFLATE


def compressed(reply: Reply, coding: bytes | None) -> Reply:
    """Return an answer in a coding, or as it is if that is no shorter."""
    status, headers, body = reply
    if any(name == b"content-encoding" for name, _ in headers):
        return reply
    if coding is None:
        return Reply(status, [*headers, _VARY], body)
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_BITS if coding == _GZIP else _ZLIB_BITS)
    shorter = stream.compress(body) + stream.flush()
    if len(shorter) >= len(body):
        return Reply(status, [*headers, _VARY], body)
    return Reply(status, [*headers, _VARY, (b"content-encoding", coding)], shorter)


def _weighted(part: bytes) -> tuple[bytes, float]:
    """Read one element of ``accept-encoding``; a weight that is none counts as refusal."""
    name, _, parameters = part.partition(b";")
    key, _, value = parameters.partition(b"=")
    if not parameters.strip():
        return name.strip(), 1.0
    digits = value.strip()
    is_weight = key.strip() == b"q" and digits.replace(b".", b"", 1).isdigit()
    return name.strip(), float(digits) if is_weight else 0.0


def _is_wrapped(body: bytes) -> bool:
    """Tell whether a deflate body begins with zlib's wrapper."""
    return len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
