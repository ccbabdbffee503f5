"""Claims about connections: limits, time, what a client may break off, and what it must always be able to read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilter.errors import Overloaded
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.limits import WireLimits
from kilter.faces.serving.router import Router
from kilter.testing.wire import Servers, Stub, answers, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_MAX_BODY = 1_000_000
_HEAD = b"POST /size HTTP/1.1\r\nHost: plane\r\n"
_POST = b"POST /echo HTTP/1.1\r\nHost: plane\r\nContent-Length: 2\r\n\r\n{}"
_QUICK = WireLimits(
    head_read_s=0.2,
    body_read_s=0.6,
    body_grace_s=0.2,
    keep_alive_s=0.3,
    write_stall_s=0.3,
    linger_idle_s=0.2,
    linger_s=1.0,
    farewell_s=0.1,
    sweep_s=0.03,
)
_WITHIN_S = 15.0


class _Plane(NamedTuple):
    """A server with a stub behind it."""

    servers: Servers
    server: Server
    app: ServingApp
    stub: Stub

    @property
    def port(self) -> int:
        port: int = self.servers.ports[0]
        return port

    def until(self, holds: Callable[[], bool]) -> None:
        async def wait() -> None:
            while not holds():  # noqa: ASYNC110 - what is waited for is not this loop's
                await asyncio.sleep(0.005)

        asyncio.run(asyncio.wait_for(wait(), _WITHIN_S))


def _run(work: Coroutine[object, object, bytes]) -> bytes:
    return asyncio.run(asyncio.wait_for(work, _WITHIN_S))


@contextlib.contextmanager
def _serving(fast_path: str, limits: WireLimits = _QUICK, admit: Callable[[], None] | None = None) -> Iterator[_Plane]:
    stub = Stub()
    app = ServingApp(Router([stub]), body_max_bytes=_MAX_BODY, admit=admit)
    server = Server(app, fast_path=fast_path, limits=limits, drain_s=3)
    with Servers(server) as servers:
        yield _Plane(servers, server, app, stub)


@pytest.fixture(scope="module", params=["require", "off"])
def plane(request: pytest.FixtureRequest) -> Iterator[_Plane]:
    with _serving(request.param) as running:
        yield running


async def _listen(port: int, data: bytes) -> bytes:
    """Send bytes and then nothing, and return all that comes until the server ends the connection."""
    return await ask(port, [data], half_close=False)


@pytest.mark.parametrize(
    ("data", "status", "part"),
    [
        (b"POST /echo HT", 408, "head"),
        (b"POST /echo HTTP/1.1\r\nHost: plane\r\n", 408, "head"),
        (_HEAD + b"Content-Length: 10\r\n\r\n12345", 408, "per second"),
        (_HEAD + b"Content-Length: 500000\r\n\r\n12345", 408, "per second"),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n123", 408, "per second"),
        (_HEAD + b"Content-Length: 999999\r\n\r\n" + b"1" * 800_000, 408, "within 0.6 s"),
    ],
)
def test_who_stalls_is_told_so(plane: _Plane, data: bytes, status: int, part: str) -> None:
    (answer,) = answers(_run(_listen(plane.port, data)))
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert part in answer.body.decode()


def test_a_trickle_is_cut_off(plane: _Plane) -> None:
    async def trickle() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(_HEAD)
        reading = asyncio.ensure_future(reader.read(1_000))
        for letter in range(1_000):
            if reading.done():
                break
            writer.write(b"X-%d: y\r\n" % letter if letter % 2 else b"")
            await asyncio.sleep(0.02)
        writer.transport.abort()
        return await reading

    assert answers(_run(trickle()))[0].status == 408


def test_idle_connections_end_and_new_ones_too(plane: _Plane) -> None:
    assert _run(_listen(plane.port, b"")) == b""
    assert _run(_listen(plane.port, b"\r\n")) == b""
    (answer,) = answers(_run(_listen(plane.port, _POST)))
    assert "connection" not in answer.headers


def test_a_slow_answer_is_no_idle_connection(plane: _Plane) -> None:
    async def wait() -> bytes:
        asked = asyncio.ensure_future(
            ask(plane.port, [b"POST /much-later HTTP/1.1\r\ncontent-length: 1\r\n\r\nx" + _POST])
        )
        await asyncio.sleep(0.7)
        plane.servers.loop.call_soon_threadsafe(plane.stub.released.set)
        return await asked

    try:
        assert [answer.body for answer in answers(_run(wait()))] == [b"x", b"{}"]
    finally:
        plane.stub.released.clear()


@pytest.mark.parametrize("size", [_MAX_BODY + 1, 17 * 2**20, 40 * 2**20])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_who_sends_too_much_can_read_why(plane: _Plane, size: int, is_chunked: bool) -> None:  # noqa: FBT001 - a case
    part = b"x" * 65_536

    def send_all_then_read() -> bytes:
        with socket.create_connection(("127.0.0.1", plane.port), timeout=_WITHIN_S) as client:
            if is_chunked:
                client.sendall(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(size // len(part) + 1):
                    client.sendall(b"10000\r\n" + part + b"\r\n")
            else:
                client.sendall(_HEAD + b"Content-Length: %d\r\n\r\n" % size)
                for _ in range(size // len(part)):
                    client.sendall(part)
            parts = []
            while data := client.recv(65_536):
                parts.append(data)
        return b"".join(parts)

    (answer,) = answers(send_all_then_read())
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert f"{_MAX_BODY} bytes" in answer.body.decode()


def test_lingering_has_an_end() -> None:
    with _serving("require", WireLimits(linger_bytes=300_000, sweep_s=0.03)) as plane:
        with socket.create_connection(("127.0.0.1", plane.port), timeout=_WITHIN_S) as client:
            client.sendall(b"garbage\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400")
            with pytest.raises(ConnectionError):
                client.sendall(b"x" * 64 * 2**20)
        plane.until(lambda: not plane.server.server_state.connections)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /echo HTTP/1.1\r\nX: " + b"a" * 600_000, 431),
        (b"POST /echo HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, 431),
        (b"POST /" + b"a" * 600_000, 414),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 2_000_000, 431),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 2_000_000, 431),
        (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 400_000, 431),
    ],
)
def test_what_never_ends_is_refused_before_it_fills_the_memory(plane: _Plane, data: bytes, status: int) -> None:
    (answer,) = answers(_run(_listen(plane.port, data)))
    assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_a_client_that_does_not_read_is_cut_off_and_fills_no_memory(plane: _Plane) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", plane.port))
        client.settimeout(0.1)
        one = b"POST /long/200000 HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
        unsent = 0
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                with contextlib.suppress(TimeoutError):
                    client.sendall(one * 100)
                sizes = [line.line.unsent_bytes for line in _guarded(plane)]
                unsent = max([unsent, *sizes])
                if not sizes:
                    break
        plane.until(lambda: not plane.server.server_state.connections)
    assert unsent < 4 * 2**20


def test_a_slow_reader_gets_everything(plane: _Plane) -> None:
    async def read_slowly() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port, limit=1_024)
        writer.write(b"POST /long/3000000 HTTP/1.1\r\ncontent-length: 0\r\nConnection: close\r\n\r\n")
        parts = []
        while part := await reader.read(200_000):
            parts.append(part)
            await asyncio.sleep(0.01)
        writer.close()
        return b"".join(parts)

    (answer,) = answers(_run(read_slowly()))
    assert (answer.status, len(answer.body)) == (200, 3_000_003)


def test_a_client_that_is_gone_ends_its_work(plane: _Plane) -> None:
    calls, cancelled = plane.stub.calls, plane.stub.cancelled
    with socket.create_connection(("127.0.0.1", plane.port)) as client:
        client.sendall(b"POST /much-later HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        plane.until(lambda: plane.stub.calls > calls)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plane.until(lambda: plane.stub.cancelled > cancelled)
    plane.until(lambda: plane.app.in_flight == 0)


def test_a_client_that_is_gone_while_it_sends_is_forgotten(plane: _Plane, caplog: pytest.LogCaptureFixture) -> None:
    for data in (
        _HEAD,
        _HEAD + b"Content-Length: 500000\r\n\r\n1",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n1",
    ):
        with socket.create_connection(("127.0.0.1", plane.port)) as client:
            client.sendall(data)
            plane.until(lambda: bool(_guarded(plane)))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plane.until(lambda: not plane.server.server_state.connections and not plane.app.in_flight)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(plane: _Plane) -> None:
    head = _HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", plane.port), timeout=_WITHIN_S) as client:
        client.sendall(head % 5)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"12345")
        assert client.recv(1_000).endswith(b"\r\n\r\n5")
        client.sendall(head % (_MAX_BODY + 1))
        assert client.recv(1_000).startswith(b"HTTP/1.1 413 ")


def test_too_many_requests_in_flight_are_refused_with_a_time(plane: _Plane) -> None:
    plane.app.in_flight += 1_024
    try:
        for path in (b"/echo", b"/size"):
            data = b"POST %s HTTP/1.1\r\ncontent-length: 0\r\n\r\n" % path
            (answer,) = answers(_run(ask(plane.port, [data])))
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    finally:
        plane.app.in_flight -= 1_024


@pytest.mark.parametrize("fast_path", ["require", "off"])
def test_who_is_not_admitted_is_refused_before_the_handler(fast_path: str) -> None:
    def admit() -> None:
        message = "too much to do"
        raise Overloaded(message, retry_after_s=2.5)

    with _serving(fast_path, admit=admit) as plane:
        first, second = answers(_run(ask(plane.port, [_POST + b"GET /fields HTTP/1.1\r\n\r\n"])))
        assert (first.status, first.headers["retry-after"], plane.stub.calls) == (429, "3", 0)
        assert second.status == 200


def _guarded(plane: _Plane) -> list[Any]:
    return list(plane.server.server_state.connections)
