"""kilter's HTTP server with a constant of a prediction's size behind it: what the wire alone costs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop

from kilter.faces.serving.exchange import JSON, Reply, Request
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.router import Router, plain_wording

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

_BODY = b'{"noop":"' + b"x" * 230 + b'"}'
_HEADERS = [JSON, (b"content-length", b"%d" % len(_BODY))]


async def _plain(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Answer every request, with nothing of kilter in between."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


class _Noop:
    """The same answer, as a protocol of kilter's own router."""

    roots = ("noop", "ready")
    wording = staticmethod(plain_wording)

    def routes(self) -> dict[tuple[str, str], Any]:
        """Return the paths."""
        return {("POST", "/noop"): self._answer, ("GET", "/ready"): self._answer}

    def _answer(self, _: Request) -> Reply:
        """Answer."""
        return Reply(200, [JSON], _BODY)


class _Plain(uvicorn.Server):
    """uvicorn itself; signals are its caller's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def stop(self) -> None:
        """Drain."""
        self.should_exit = True


async def _serve(kind: str, listening: socket.socket) -> None:
    """Serve until a signal comes."""
    if kind == "asgi":
        config = uvicorn.Config(
            _plain,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=2_048,
        )
        server: _Plain | Server = _Plain(config)
    else:
        server = Server(ServingApp(Router([_Noop()])), fast_path="require")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve(sockets=[listening])


def main() -> None:
    """Serve on a socket that was handed down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["asgi", "fast"], required=True)
    parser.add_argument("--fd", required=True, type=int)
    given = parser.parse_args()
    uvloop.run(_serve(given.kind, socket.socket(fileno=given.fd)))


if __name__ == "__main__":
    main()
