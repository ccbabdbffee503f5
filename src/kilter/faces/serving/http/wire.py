"""What all connections of a serving process share: limits, the time, and answers as bytes."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.faces.serving.exchange import Reply
    from kilter.faces.serving.http.app import ServingApp
    from kilter.faces.serving.limits import WireLimits
    from kilter.faces.serving.router import Found

__all__ = ["Target", "Wire"]

_CLOSE = (b"connection", b"close")
_END = b"\r\ncontent-length: %d\r\n\r\n"
_END_CLOSE = b"\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"

_Headers = list[tuple[bytes, bytes]]


class Target(NamedTuple):
    """What stands behind a request line: the path, and who answers there."""

    path: str
    found: Found


class Wire:
    """The state of a process's connections as a whole.

    Parameters
    ----------
    app : ServingApp
        Answers.
    limits : WireLimits
        What a connection may cost.
    """

    def __init__(self, app: ServingApp, limits: WireLimits) -> None:
        self.app = app
        self.limits = limits
        self.now = time.monotonic()
        self.is_draining = False
        self.on_full: Callable[[], None] | None = None
        self.targets: dict[bytes, Target] = {}
        self._defaults: Sequence[tuple[bytes, bytes]] | None = None
        self._heads: dict[int, bytes] = {}

    def tick(self) -> float:
        """Take the time: connections measure by it, once per sweep and not once per request."""
        self.now = time.monotonic()
        return self.now

    def encoded(self, reply: Reply, defaults: _Headers, *, closes: bool = False, has_body: bool = True) -> bytes:
        """Return an answer as the bytes of HTTP/1.1, in the order in which uvicorn writes it.

        Parameters
        ----------
        reply : Reply
            The answer.
        defaults : list of headers
            The server's own, made anew once a second: the date.
        closes : bool
            Whether the connection ends after it.
        has_body : bool
            False for the answer to HEAD.

        Raises
        ------
        ValueError
            If a header would break the lines of the head.
        """
        if defaults is not self._defaults:
            self._heads.clear()
            self._defaults = defaults
        status, headers, body = reply
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = _head(status, defaults)
        lines = b"\r\n".join(map(b": ".join, headers))
        if lines.count(b"\n") >= len(headers):
            message = "a header of the answer holds a line break"
            raise ValueError(message)
        end = _END_CLOSE if closes and _CLOSE not in headers else _END
        return b"".join((head, lines, end % len(body), body if has_body else b""))


def _head(status: int, defaults: _Headers) -> bytes:
    """Build the status line and the server's own headers."""
    lines = [b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())]
    lines += (b"%s: %s\r\n" % header for header in defaults)
    return b"".join(lines)
