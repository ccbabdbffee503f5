"""The HTTP server of a process: uvicorn with kilter's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from kilter.errors import SettingsError
from kilter.faces.serving.http.probe import mismatch
from kilter.faces.serving.http.wire import Wire
from kilter.faces.serving.limits import WireLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from kilter.faces.serving.http.app import ServingApp
    from kilter.faces.serving.http.guard import GuardedProtocol

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_EXIT_AT_ONCE = 143
_ROOM_SHARE = 0.95
_DRAIN_S = 30.0


class Server(uvicorn.Server):
    """The HTTP server; signals are its caller's.

    Guarantees: no log of requests, no headers of its own but the date; more connections than the limit
    wait in the kernel's queue; at the end everything that was asked for is answered within ``drain_s``.

    Parameters
    ----------
    app : ServingApp
        Answers.
    fast_path : str
        ``auto``, ``off`` or ``require``.
    drain_s : float
        Time that open requests get at the end.
    limits : WireLimits
        What a connection may cost.

    Raises
    ------
    SettingsError
        If the fast path is required and uvicorn is not one that it can be built on.
    """

    def __init__(
        self,
        app: ServingApp,
        *,
        fast_path: str = "auto",
        drain_s: float = _DRAIN_S,
        limits: WireLimits | None = None,
    ) -> None:
        self.wire = Wire(app, WireLimits() if limits is None else limits)
        self.wire.on_full = self._on_full
        why = mismatch()
        if why and fast_path == "require":
            message = f'`serving.fast_path` is "require", but {why}'
            raise SettingsError(message, hint='install the uvicorn of kilter\'s own bounds, or set it to "auto"')
        if why:
            _log.warning("plain uvicorn serves, without the fast path and the limits of time: %s", why)
        self.fast_path = not why and fast_path != "off"
        self._is_guarded = not why
        super().__init__(_config(app, self._protocol(), drain_s))
        self._sockets: list[socket.socket] = []
        self._is_full = False
        self._sweeping: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Drain, or end the process at once when asked again."""
        if self.should_exit:
            os._exit(_EXIT_AT_ONCE)
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on listening sockets until stopped."""
        self._sweep()
        try:
            await super().serve(sockets)
        finally:
            if self._sweeping is not None:
                self._sweeping.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        self._sockets = list(sockets or ())
        await super().startup([one.dup() for one in self._sockets] or None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what is asked; idle connections stay a moment: a request may be on its way."""
        self.wire.is_draining = True
        asyncio.get_running_loop().call_later(self.wire.limits.farewell_s, self._part)
        await super().shutdown(sockets)

    def _protocol(self) -> Callable[..., asyncio.Protocol] | str:
        """Return what makes the protocol of a connection; imported only when uvicorn is as it must be."""
        if not self._is_guarded:
            return "httptools"
        if self.fast_path:
            from kilter.faces.serving.http.fast import FastProtocol  # noqa: PLC0415 - see above

            return partial(FastProtocol, self.wire)
        from kilter.faces.serving.http.guard import GuardedProtocol  # noqa: PLC0415 - see above

        return partial(GuardedProtocol, self.wire)

    def _guarded(self) -> list[GuardedProtocol]:
        """Return the connections that keep limits."""
        return cast("list[GuardedProtocol]", list(self.server_state.connections)) if self._is_guarded else []

    def _sweep(self) -> None:
        """Look after all connections, once a second."""
        now = self.wire.tick()
        self._sweeping = asyncio.get_running_loop().call_later(self.wire.limits.sweep_s, self._sweep)
        for connection in self._guarded():
            connection.tend(now)
        if self._is_full and len(self.server_state.connections) < _ROOM_SHARE * self.wire.limits.connections:
            self._is_full = False
            self._accepting = asyncio.ensure_future(self._accept())

    def _part(self) -> None:
        """End idle connections."""
        for connection in self._guarded():
            connection.part()

    def _on_full(self) -> None:
        """Stop accepting for now; who comes waits in the kernel's queue."""
        if not self._is_full and not self.should_exit and self._sockets:
            self._is_full = True
            _log.warning("accepting pauses at %d connections", len(self.server_state.connections))
            for server in self.servers:
                server.close()

    async def _accept(self) -> None:
        """Accept again."""
        if self.should_exit:
            return
        loop = asyncio.get_running_loop()
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        state = self.lifespan.state
        factory = partial(make, config=self.config, server_state=self.server_state, app_state=state)
        self.servers = [
            await loop.create_server(factory, sock=one.dup(), backlog=self.config.backlog, start_serving=False)
            for one in self._sockets
        ]
        for server in self.servers:
            await server.start_serving()


def _config(app: ServingApp, protocol: Callable[..., asyncio.Protocol] | str, drain_s: float) -> uvicorn.Config:
    """Return uvicorn's settings."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("Any", protocol),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=2_048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
