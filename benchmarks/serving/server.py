"""The serving process under load: the real one, and beside it a path that does nothing."""

from __future__ import annotations

import argparse
import socket
import time
from typing import TYPE_CHECKING, Any

import uvloop

from kilter import plane
from kilter.faces.serving.processes.acceptor import Acceptor
from kilter.settings import transfer

if TYPE_CHECKING:
    from kilter.faces.serving.http.app import ServingApp

__all__ = ["main"]


class _WithNoop:
    """The application, with ``/noop`` answered from a constant of a prediction's size.

    ``/spent`` tells the processor time that this process has used, which other load on the machine
    disturbs less than the clock.
    """

    def __init__(self, app: ServingApp) -> None:
        self._app = app
        self._body = b'{"noop":"' + b"x" * 230 + b'"}'
        self._headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self._body))]

    def end_slow(self) -> None:
        """As the application."""
        self._app.end_slow()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer, or let the application answer."""
        path = scope.get("path")
        if path == "/noop":
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": self._body})
        elif path == "/spent":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"%d" % time.process_time_ns()})
        else:
            await self._app(scope, receive, send)


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", required=True)
    parser.add_argument("--fd", required=True, type=int)
    given = parser.parse_args()
    acceptor = Acceptor(plane.serving(transfer.read(given.settings), 0), slot=0)
    acceptor.app = _WithNoop(acceptor.app)  # type: ignore[assignment]  # an ASGI application around it
    uvloop.run(acceptor.run(socket.socket(fileno=given.fd)))


if __name__ == "__main__":
    main()
