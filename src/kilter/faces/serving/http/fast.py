"""The fast path: a complete POST is answered inside the parser's callback, in one write."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from kilter.errors import NotFound
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.http.guard import GuardedProtocol, Phase
from kilter.faces.serving.http.wire import Target
from kilter.faces.serving.limits import HEADER_BYTES, HEADERS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from kilter.faces.serving.http.wire import Wire

__all__ = ["FastProtocol"]

_IDLE, _BODY = Phase.IDLE, Phase.BODY
_ODD = frozenset((b"expect", b"upgrade", b"transfer-encoding", b"content-encoding"))
_CLOSE = (b"connection", b"close")
_FEW = 32
_SHORT_BYTES = 16 * 2**10
_MAX_TARGETS = 1_024
_MAX_TARGET_BYTES = 512


class FastProtocol(GuardedProtocol):
    """One connection.

    Guarantees: those of GuardedProtocol; every answer is the same, byte for byte, as on the ASGI path. Taken by
    a POST of HTTP/1.1 to a known path whose body has its length and no coding, while no other answer is owed on
    the connection, the client reads, and the process is not ending. An answer that comes later goes on
    as if the request had taken the ASGI path.
    """

    def __init__(
        self,
        wire: Wire,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(wire, config, server_state, app_state, _loop)
        self._target: Target | None = None
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._keeps = True
        self._packet_bytes = 0
        self._started_ns = 0

    def data_received(self, data: bytes) -> None:
        """Read on; a long body that is not complete yet is the ASGI path's."""
        self._packet_bytes = len(data)
        GuardedProtocol.data_received(self, data)
        if self._target is not None and int(self._fields.get(b"content-length", b"0")) > HIGH_WATER_LIMIT:
            self._leave_fast_path()

    def on_headers_complete(self) -> None:
        """Choose the path."""
        fields = dict(self.headers)
        target = self._chosen(fields)
        if target is None:
            super().on_headers_complete()
            return
        self._started_ns = time.perf_counter_ns()
        self._target = target
        self._fields = fields
        self._parts = []
        self.phase = _BODY
        self.since = self.wire.now
        self._body_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._target is None:
            super().on_body(body)
        else:
            self._body_bytes += len(body)
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        target = self._target
        if target is None:
            super().on_message_complete()
            return
        self._target = None
        self.phase = _IDLE
        self.since = self.wire.now
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = Request("POST", target.path, self._fields, body, self._started_ns)
        app = self.wire.app
        answer = app.respond(request, target.found)
        if type(answer) is not Reply:
            self._answer_later(cast("Awaitable[Reply]", answer), request)
            return
        closes = not self._keeps or _CLOSE in answer.headers
        self.line.write(self.wire.encoded(answer, self.server_state.default_headers, closes=closes))
        self.server_state.total_requests += 1
        if closes:
            self._is_deaf = True
            self.line.end()
        app.on_answered()

    def shutdown(self) -> None:
        """Answer what has been asked, then end."""
        super().shutdown()
        self._keeps = False

    def dismiss(self, reply: Reply) -> None:
        """Send a last answer in its turn, and end the connection."""
        self._target = None
        super().dismiss(reply)

    def _chosen(self, fields: dict[bytes, bytes]) -> Target | None:
        """Return who answers on the fast path, None for the ASGI path."""
        parser = self.parser
        if (
            parser.get_method() != b"POST"
            or not _ODD.isdisjoint(fields)
            or ((cycle := self.cycle) is not None and not cycle.response_complete)  # type: ignore[redundant-expr]  # None at first
            or self.flow.write_paused
            or self.wire.is_draining
        ):
            return None
        self._keeps = parser.should_keep_alive()
        if (b"connection" in fields or not self._keeps) and parser.get_http_version() != "1.1":
            return None
        if b"content-length" in fields and int(fields[b"content-length"]) > self.wire.app.body_max_bytes:
            return None
        if len(self.headers) > _FEW or self._packet_bytes > _SHORT_BYTES or self._head_bytes >= 0:
            sizes = [len(name) + len(value) for name, value in self.headers]
            if len(sizes) > HEADERS or sum(sizes) > HEADER_BYTES:
                return None
        return self.wire.targets.get(self.url) or self._found()

    def _found(self) -> Target | None:
        """Look up who answers, and remember it."""
        if len(self.url) > _MAX_TARGET_BYTES or b"?" in self.url:
            return None
        try:
            path = httptools.parse_url(self.url).path.decode("ascii")
            path = unquote(path) if "%" in path else path
            found = self.wire.app.router.find("POST", path)
        except (NotFound, httptools.HttpParserInvalidURLError, AttributeError):
            return None
        if isinstance(found, Reply):
            return None
        if len(self.wire.targets) >= _MAX_TARGETS:
            self.wire.targets.clear()
        target = self.wire.targets[self.url] = Target(path, found)
        return target

    def _answer_later(self, answer: Awaitable[Reply], request: Request) -> None:
        """Go on as uvicorn does with requests whose answer comes later."""
        cycle = self.cycle = RequestResponseCycle(
            scope={"type": "http", "method": "POST", "http_version": "1.1", "headers": []},  # type: ignore[typeddict-item]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self._keeps,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        self._owns_cycle = True
        self._is_deaf = not self._keeps
        self._start_asgi_task(cycle, self.wire.app.later(answer, request))

    def _leave_fast_path(self) -> None:
        """Hand a request whose body is still to come to the ASGI path."""
        self._target = None
        self.open_cycle()
        for part in self._parts:
            super().on_body(part)
        self._parts = []
