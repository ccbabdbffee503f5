"""Claims about the server as a whole: which path serves, how many connections there are, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kilter.errors import SettingsError
from kilter.faces.serving.http import server as module
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.limits import WireLimits
from kilter.faces.serving.router import Router
from kilter.testing.wire import Servers, Stub, answers, ask

if TYPE_CHECKING:
    from collections.abc import Callable

_POST = b"POST /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
_LATER = b"POST /much-later HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
_WITHIN_S = 15.0


def _server(fast_path: str = "auto", **limits: float) -> tuple[Server, Stub]:
    stub = Stub()
    wire = WireLimits(**({"sweep_s": 0.03, "farewell_s": 0.2} | limits))  # type: ignore[arg-type]  # counts are whole
    return Server(ServingApp(Router([stub])), fast_path=fast_path, limits=wire, drain_s=5), stub


def _until(holds: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not holds():  # noqa: ASYNC110 - what is waited for is not this loop's
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(wait(), _WITHIN_S))


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_WITHIN_S)


def _told(client: socket.socket) -> bytes:
    parts = []
    while data := client.recv(65_536):
        parts.append(data)
    return b"".join(parts)


@pytest.mark.parametrize(("fast_path", "is_fast"), [("auto", True), ("require", True), ("off", False)])
def test_the_setting_chooses_the_path(fast_path: str, is_fast: bool) -> None:  # noqa: FBT001 - a case
    assert _server(fast_path)[0].fast_path is is_fast


def test_another_uvicorn_serves_without_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "mismatch", lambda: "uvicorn is another")
    server, _ = _server("auto")
    assert not server.fast_path
    with Servers(server) as servers:
        last = _POST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        first, second = answers(asyncio.run(ask(servers.ports[0], [_POST + last], half_close=False)))
    assert (first.status, second.body) == (200, b"{}")
    with pytest.raises(SettingsError, match="uvicorn is another"):
        _server("require")


def test_connections_above_the_cap_wait_until_there_is_room() -> None:
    server, _ = _server(connections=8)
    with Servers(server) as servers, contextlib.ExitStack() as stack:
        first = [stack.enter_context(_connect(servers.ports[0])) for _ in range(8)]
        for client in first:
            client.sendall(_POST)
            assert client.recv(1_000).endswith(b"{}")
        waiting = [stack.enter_context(_connect(servers.ports[0])) for _ in range(6)]
        for client in waiting:
            client.sendall(_POST)
        waiting[0].settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting[0].recv(1_000)
        waiting[0].settimeout(_WITHIN_S)
        for client in first:
            client.close()
        for client in waiting:
            assert client.recv(1_000).endswith(b"{}")
    assert not server.server_state.connections


def test_what_was_asked_is_answered_before_the_end() -> None:
    server, stub = _server()
    with Servers(server) as servers:
        with (
            _connect(servers.ports[0]) as later,
            _connect(servers.ports[0]) as half,
            _connect(servers.ports[0]) as idle,
        ):
            later.sendall(_LATER)
            half.sendall(_POST[:-1])
            idle.sendall(_POST)
            assert idle.recv(1_000).endswith(b"{}")
            _until(lambda: stub.calls == 2)
            stopping = threading.Thread(target=servers.stop)
            stopping.start()
            _until(lambda: server.wire.is_draining)
            half.sendall(b"}")
            idle.sendall(_POST)  # it was on its way
            servers.loop.call_soon_threadsafe(stub.released.set)
            told = [answers(_told(client))[0] for client in (later, half, idle)]
            assert [(answer.status, answer.headers["connection"]) for answer in told] == [(200, "close")] * 3
        stopping.join(_WITHIN_S)
    assert not stopping.is_alive()


def test_idle_connections_do_not_delay_the_end() -> None:
    server, _ = _server()
    with Servers(server) as servers, _connect(servers.ports[0]) as idle:
        idle.sendall(_POST)
        assert idle.recv(1_000).endswith(b"{}")
        servers.stop()
        assert _told(idle) == b""


def test_a_second_stop_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[Any] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    server, _ = _server()
    server.stop()
    assert (server.should_exit, codes) == (True, [])
    server.stop()
    assert codes == [143]
