"""One connection within its limits: uvicorn's HTTP/1.1 protocol, hardened against what clients do."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kilter.errors import HeadersTooLarge, InvalidRequest, KilterError
from kilter.faces.serving.http import head
from kilter.faces.serving.http.line import Line

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from kilter.faces.serving.exchange import Reply
    from kilter.faces.serving.http.wire import Wire

__all__ = ["GuardedProtocol", "Phase"]

_EXPECT = (b"expect", b"100-continue")
_HTTP_2 = "Pause on PRI/Upgrade"
_OVERHEAD_BYTES = 32 * 2**10
_CHUNK_OVERHEAD_BYTES = 32


class Phase(IntEnum):
    """What the reading side of a connection is at."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    LINGER = 3


_BLANKS = b" \t"
_IDLE, _HEAD, _BODY, _LINGER = Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.LINGER


class _EnoughError(Exception):
    """The parser is to stop: what follows is not read."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Guarantees: answers come in the order of their requests; what breaks a limit or the protocol is
    answered with a worded error before the connection ends, also while the client is still sending; a
    client that has closed only its sending side gets its answers; nothing is buffered without bound.

    Parameters
    ----------
    wire : Wire
        Shared by all connections.
    config, server_state, app_state, _loop
        Uvicorn's.
    """

    def __init__(
        self,
        wire: Wire,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.wire = wire
        self.parser = self._new_parser()
        self.phase = _IDLE
        self.since = wire.now
        self.url = b""
        self.headers = []
        self.line: Line = None  # type: ignore[assignment]  # set when the connection is made
        self._is_deaf = False
        self._is_half_closed = False
        self._is_upgrading = False
        self._owns_cycle = False
        self._last_words = b""
        self._head_bytes = -1
        self._body_bytes = 0
        self._raw_bytes = 0
        self._chunks = 0
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None

    # ── Connection ────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; accepting pauses when there are too many."""
        super().connection_made(transport)
        self.line = Line(transport, self.end)
        self.transport = cast("asyncio.Transport", self.line)
        if self.wire.on_full is not None and len(self.connections) >= self.wire.limits.connections:
            self.wire.on_full()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the work for a client that is gone."""
        self.phase, self._is_deaf = _LINGER, True
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._running is not None and not self._running[0].response_complete:
            cycle, task = self._running
            cycle.disconnected = True
            cycle.message_event.set()
            self.loop.call_soon(self.wire.app.leave, task)
        self.line.forget()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that only sends no more have its answers; True keeps the connection."""
        self._is_half_closed = True
        if self.phase is _LINGER:
            return False
        if self.phase is not _IDLE and not (self._owns_cycle and self.cycle.response_started):
            message = "the connection ended before the request was complete"
            self.refuse(InvalidRequest(message, hint="send as many bytes as `content-length` says"))
        return self.is_answering

    def shutdown(self) -> None:
        """Answer what has been asked, then end; an idle connection is left to ``part``."""
        if self.phase is _LINGER:
            self.line.end()
        for cycle in [self.cycle, *(queued for queued, _ in self.pipeline)]:
            if cycle is not None and not cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
                cycle.keep_alive = False

    def part(self) -> None:
        """End an idle connection."""
        if self.phase is _IDLE and not self.is_answering:
            self.line.end()

    def end(self) -> None:
        """Close after an answer, as uvicorn asks for; a client that is still sending is heard out."""
        if self.phase is _IDLE:
            self.line.end()
        elif self.phase is not _LINGER:
            self._linger()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is owed for a request that was read, or is being read."""
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first

    # ── Reading ───────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_deaf:
            self.line.discard(len(data), self.wire.now, self.wire.limits)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._malformed(error)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data, upgrade)
        if self.phase is _HEAD:
            self._check_open_head(len(data))
        elif self.phase is _BODY and self._owns_cycle:
            self._check_overhead(len(data))

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_deaf:
            raise _EnoughError
        self.url = b""
        self.headers = []
        self.phase = _HEAD
        self.since = self.wire.now
        self._head_bytes = -1
        self._owns_cycle = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, without the blanks around its value; those behind a chunked body nobody reads."""
        self.headers.append((name.lower(), value.strip(_BLANKS)))

    def on_headers_complete(self) -> None:
        """Hand a request over to the application, unless its head says that it cannot be answered."""
        headers, parser = self.headers, self.parser
        try:
            self.url = head.check(self.url, headers, parser)
            names, version = [name for name, _ in headers], parser.get_http_version()
            head.check_body(dict(headers), names, version, self.wire.app.body_max_bytes)
        except KilterError as error:
            self.refuse(error)
            raise _EnoughError from None
        self._is_upgrading = parser.should_upgrade()
        if not self._is_upgrading:
            self.phase = _BODY
            self.since = self.wire.now
            self._body_bytes = 0
            self.open_cycle()

    def open_cycle(self) -> None:
        """Start, or queue, the application for the request whose head was read."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = _EXPECT in ((name, value.lower()) for name, value in headers)
        super().on_headers_complete()
        self._owns_cycle = True
        self._raw_bytes = -1
        self._chunks = 0
        self.headers = []
        if self.wire.is_draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunks += 1

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        if self._is_upgrading:
            return
        self.phase = _IDLE
        self.since = self.wire.now
        super().on_message_complete()
        if not self.cycle.keep_alive:
            self._is_deaf = True

    def on_response_complete(self) -> None:
        """Go on with what waits."""
        self.server_state.total_requests += 1
        if self.phase is _LINGER or self.line.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words:
            self.line.write(self._last_words)
            self._linger()
        elif self._is_half_closed:
            self.line.end()
        else:
            self.since = self.wire.now
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's type
        """Start the application, and remember its task."""
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = (cycle, task)

    # ── Refusals ──────────────────────────────────────────────────────────────────────────────────

    def refuse(self, error: KilterError) -> None:
        """Answer what is being read with an error, after all answers that are owed, and end the connection."""
        if not self._is_deaf:
            self.dismiss(self.wire.app.refusal(error, self.path))

    def dismiss(self, reply: Reply) -> None:
        """Send a last answer in its turn, and end the connection."""
        is_known = self.phase is not _IDLE and self.url  # until then the parser has the method of the request before
        has_body = not is_known or self.parser.get_method() != b"HEAD"
        words = self.wire.encoded(reply, self.server_state.default_headers, closes=True, has_body=has_body)
        self._is_deaf = True
        if self._owns_cycle and self._withdraw():
            self._linger()
        elif self.is_answering:
            self._last_words = words
            self.flow.pause_reading()
        else:
            self.line.write(words)
            self._linger()

    @property
    def path(self) -> str:
        """The path that is asked for, as far as it is known; decides how an error is worded."""
        return self.url.partition(b"?")[0].decode("latin-1")

    def _withdraw(self) -> bool:
        """Take the application off the request that is being read; True if it has begun to answer."""
        self._owns_cycle = False
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running[0] if self._running else cycle
            return False
        if cycle.response_started:
            return True
        cycle.disconnected = cycle.response_complete = True
        cycle.message_event.set()
        return False

    def _malformed(self, error: httptools.HttpParserError) -> None:
        """Answer what is no HTTP, or what kilter failed at."""
        if self._is_deaf:
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            self.dismiss(self.wire.app.fault(self.path, error.__context__))
            return
        why = "HTTP/2 is not spoken here" if str(error) == _HTTP_2 else str(error)
        message = f"the request is not valid HTTP/1.1: {why}"[:300].rstrip(".")
        self.refuse(InvalidRequest(message, hint="send requests in the form of RFC 9112, over plain HTTP"))

    def _ignore_upgrade(self, data: bytes, upgrade: httptools.HttpParserUpgrade) -> None:
        """Answer in HTTP/1.1 who asks for another protocol: a new parser reads the request without that wish."""
        rest = memoryview(data)
        while True:
            plain = head.without_upgrade(self.url, self.headers, self.parser)
            rest = rest[upgrade.args[0] :]
            self.parser = self._new_parser()
            try:
                self.parser.feed_data(plain)
                self.parser.feed_data(rest)
            except httptools.HttpParserError as error:
                self._malformed(error)
            except httptools.HttpParserUpgrade as again:
                upgrade = again
                continue
            return

    def _check_open_head(self, size_bytes: int) -> None:
        """Refuse a head that never ends; of the packet that it began in, most may be other requests."""
        self._head_bytes = 0 if self._head_bytes < 0 else self._head_bytes + size_bytes
        try:
            head.check_open(self.url, self._head_bytes)
        except KilterError as error:
            self.refuse(error)

    def _check_overhead(self, size_bytes: int) -> None:
        """Refuse a chunked body that is mostly not body: extensions of chunks, or headers behind the last."""
        self._raw_bytes = 0 if self._raw_bytes < 0 else self._raw_bytes + size_bytes
        if self._raw_bytes - self._body_bytes - _CHUNK_OVERHEAD_BYTES * self._chunks > _OVERHEAD_BYTES:
            message = f"the body has more than {_OVERHEAD_BYTES} bytes of chunk extensions or trailers"
            self.refuse(HeadersTooLarge(message, hint="send chunks without extensions, and no trailers"))

    # ── Time ──────────────────────────────────────────────────────────────────────────────────────

    def tend(self, now: float) -> None:
        """End what takes too long; called about once a second."""
        self.line.tend(now, self.wire.limits)
        if self.phase is _LINGER:
            return
        limits, waited_s = self.wire.limits, now - self.since
        if self.phase is _IDLE:
            if waited_s > limits.keep_alive_s and not self.is_answering:
                self.line.end()
        elif self.flow.read_paused or self.pipeline or (self.is_answering and not self._owns_cycle):
            self.since = now  # it is kilter that keeps the client waiting
        elif self.phase is _HEAD:
            if waited_s > limits.head_read_s:
                self._hurry(f"the head of the request did not arrive within {limits.head_read_s:g} s")
        elif waited_s > limits.body_read_s:
            self._hurry(f"the body did not arrive within {limits.body_read_s:g} s")
        elif waited_s > limits.body_grace_s and self._body_bytes < limits.body_least_bytes_s * waited_s:
            self._hurry(f"the body arrives at less than {limits.body_least_bytes_s:g} bytes per second")

    def _hurry(self, message: str) -> None:
        """Answer that the client took too long."""
        if not self._is_deaf:
            self.dismiss(self.wire.app.too_slow(self.path, message, "send the whole request at once"))

    def _linger(self) -> None:
        """End the connection once the client has heard why."""
        self.phase, self._is_deaf = _LINGER, True
        if self._is_half_closed:
            self.line.end()
        else:
            self.flow.resume_reading()
            self.line.linger(self.wire.now)

    def _new_parser(self) -> httptools.HttpRequestParser:
        """Return a parser of the strict kind."""
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=False)
        return parser
