"""The wire under test: servers on real sockets, a raw client, bytes in, bytes out."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from kilter.errors import InvalidRequest, ModelFailed, Overloaded, TooLarge
from kilter.faces.serving.exchange import JSON, Reply, json_reply
from kilter.faces.serving.router import plain_wording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
    from typing import Any, Self, TypeVar

    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Answer as Reaction
    from kilter.faces.serving.exchange import Handler, Request
    from kilter.faces.serving.http.server import Server

    T = TypeVar("T")

__all__ = ["Answer", "Servers", "Stub", "answers", "ask", "listening", "scrubbed"]

_PATIENCE_S = 20.0
_READ_BYTES = 2**16
_DATE = re.compile(rb"\r\ndate: [^\r]*")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Answer(NamedTuple):
    """One answer of HTTP/1.1."""

    status: int
    headers: dict[str, str]
    body: bytes


class Stub:
    """Endpoints that do in one line what a handler can do: answer, long or later, refuse, fail."""

    roots: tuple[str, ...] = ("echo", "fails")

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.cancelled = 0
        self.calls = 0

    def wording(self, error: KilterError, status: int) -> bytes:
        """Word an error as kilter's own endpoints do."""
        return plain_wording(error, status)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return the paths."""
        return {
            ("POST", "/echo"): self._echo,
            ("POST", "/names/{}/{}"): lambda request, *names: json_reply(200, [request.path, *names]),
            ("POST", "/fields"): self._fields,
            ("GET", "/fields"): self._fields,
            ("POST", "/size"): lambda request: json_reply(200, len(request.body)),
            ("POST", "/long/{}"): lambda _, size: Reply(200, [JSON], b"[%s]" % (b"1," * (int(size) // 2) + b"1")),
            ("POST", "/later"): lambda request: self._later(request, 1),
            ("POST", "/much-later"): self._much_later,
            ("POST", "/fails/{}"): self._fails,
            ("POST", "/fails-later/{}"): self._fails_later,
            ("POST", "/breaks"): lambda _: Reply(200, [JSON, (b"x-injected", b"a\r\nx-more: b")], b"{}"),
            ("POST", "/ends"): lambda _: Reply(200, [JSON, (b"connection", b"close")], b"{}"),
        }

    def _echo(self, request: Request) -> Reaction:
        """Answer the body."""
        self.calls += 1
        return Reply(200, [(b"content-type", b"application/octet-stream")], request.body)

    def _fields(self, request: Request) -> Reaction:
        """Answer the headers."""
        names = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        return json_reply(200, [request.method, request.path, names])

    async def _later(self, request: Request, turns: int) -> Reply:
        """Answer the body after some turns of the loop."""
        for _ in range(turns):
            await asyncio.sleep(0)
        return Reply(200, [JSON], request.body)

    def _much_later(self, request: Request) -> Awaitable[Reply]:
        """Answer when released."""
        return self._wait(request)

    async def _wait(self, request: Request) -> Reply:
        """Wait, and count if nobody cares any more."""
        self.calls += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Reply(200, [JSON], request.body)

    def _fails(self, _: Request, how: str) -> Reaction:
        """Raise."""
        raise _failure(how)

    async def _fails_later(self, _: Request, how: str) -> Reply:
        """Raise, but later."""
        await asyncio.sleep(0)
        raise _failure(how)


def _failure(how: str) -> Exception:
    """Return an error by its name."""
    errors: dict[str, KilterError] = {
        "busy": Overloaded("no room", retry_after_s=7.0),
        "large": TooLarge("too many rows"),
        "model": ModelFailed("the model failed"),
        "wrong": InvalidRequest("the row is wrong", details={"field": "rows[0].age"}),
    }
    return errors.get(how, RuntimeError("secret"))


def listening() -> socket.socket:
    """Return a socket that listens on a free port of this machine alone."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


class Servers:
    """Servers on one loop in a thread, for the time of a ``with`` block."""

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self._sockets = [listening() for _ in servers]
        self.ports = [one.getsockname()[1] for one in self._sockets]
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="servers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._until_started())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the servers' loop, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE_S)

    def stop(self) -> None:
        """Drain and end."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        """Serve until stopped."""
        serving = (one.serve([socket_]) for one, socket_ in zip(self._servers, self._sockets, strict=True))

        async def serve() -> None:
            await asyncio.gather(*serving)

        try:
            self.loop.run_until_complete(serve())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    async def _until_started(self) -> None:
        """Wait until all servers listen."""
        while not all(server.started and server.server_state.default_headers for server in self._servers):  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # uvicorn tells nobody


async def ask(port: int, packets: Iterable[bytes], *, pause_s: float = 0.002, half_close: bool = True) -> bytes:
    """Send packets over a connection of their own, close the sending side, return all that comes back.

    A server that ends the connection early is no error: what it said until then is returned.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = asyncio.ensure_future(_read(reader))
    try:
        for index, packet in enumerate(packets):
            if index:
                await asyncio.sleep(pause_s)
            writer.write(packet)
            await writer.drain()
        if half_close:
            writer.write_eof()
    except OSError:
        half_close = False  # the server has ended it
    try:
        return await asyncio.wait_for(received, _PATIENCE_S)
    finally:
        writer.transport.abort()


def answers(data: bytes, methods: Sequence[str] = ()) -> list[Answer]:
    """Take the bytes of a connection apart; ``methods`` are those of its requests, where HEAD is among them.

    Raises
    ------
    ValueError
        If an answer is torn, or a header stands twice in it.
    """
    found: list[Answer] = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        is_head = len(found) < len(methods) and methods[len(found)] == "HEAD"
        size = 0 if is_head else int(headers.get("content-length", "-1"))
        if len(headers) != len(fields) or not 0 <= size <= len(data):
            message = f"no whole answer: {head[:200]!r}"
            raise ValueError(message)
        found.append(Answer(int(line.split(" ")[1]), headers, data[:size]))
        data = data[size:]
    return found


def scrubbed(data: bytes) -> bytes:
    """Return the bytes of a connection without what differs each time: dates and ids."""
    return _UUID.sub(b"UUID", _DATE.sub(b"", data))


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, also when it is no orderly one."""
    parts: list[bytes] = []
    try:
        while part := await reader.read(_READ_BYTES):
            parts.append(part)
    except ConnectionError:
        parts.append(b"")
    return b"".join(parts)
