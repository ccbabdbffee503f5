"""The service on gRPC's own server, on the loop of the serving process."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from grpc import aio

from kilter.errors import Conflict, Overloaded
from kilter.faces.serving.grpc.exchange import Call, Outcome
from kilter.faces.serving.grpc.status import Status
from kilter.faces.serving.grpc.tracing import within_trace
from kilter.faces.serving.limits import HEADER_BYTES, IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kilter.faces.serving.grpc.service import GrpcService
    from kilter.faces.serving.metrics.spans import Spans

__all__ = ["GrpcServer"]

Grpc: TypeAlias = Any
"""An object of gRPC's own, which ships no types."""

_log = logging.getLogger(__name__)

_CODES = {Status(code.value[0]): code for code in grpc.StatusCode if code.value[0] in set(Status)}
_KEEP_ALIVE_MS = 75_000
_KEEP_ALIVE_TIMEOUT_MS = 20_000
_MIN_PING_MS = 10_000


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio ships no types
    """Listens on one address and answers on the running loop.

    Guarantees: every call gets a status; nothing of a fault leaves the process; several processes
    share one port; listens on the given address alone.

    Parameters
    ----------
    service : GrpcService
        Answers.
    address : str
        ``HOST:PORT``, the host as a number; IPv6 in brackets.
    message_max_bytes : int
        Largest message in both directions.
    on_answered : callable or None
        Called after every answer.
    spans : Spans or None
        Makes a span of each call.
    """

    def __init__(
        self,
        service: GrpcService,
        *,
        address: str,
        message_max_bytes: int,
        on_answered: Callable[[], None] | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._service = service
        self._spans = spans
        self._address = address
        self._on_answered = on_answered
        self._options = (
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", message_max_bytes),
            ("grpc.max_send_message_length", message_max_bytes),
            ("grpc.max_metadata_size", HEADER_BYTES),
            ("grpc.absolute_max_metadata_size", HEADER_BYTES),
            ("grpc.keepalive_time_ms", _KEEP_ALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEP_ALIVE_TIMEOUT_MS),
            ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_MS),
            ("grpc.keepalive_permit_without_calls", 1),
        )
        self._answering = {path: grpc.unary_unary_rpc_method_handler(self._handler_of(path)) for path in service.paths}
        self._server: Grpc = None
        self._stopping: asyncio.Future[None] | None = None
        self.in_flight = 0

    def service(self, handler_call_details: Grpc) -> Grpc:
        """Return who answers a path; part of the interface that gRPC calls."""
        path: str = handler_call_details.method
        return self._answering.get(path) or grpc.stream_stream_rpc_method_handler(self._refusal_of(path))

    async def start(self) -> int:
        """Listen; return the port.

        Raises
        ------
        Conflict
            If the address cannot be used.
        """
        self._server = aio.server(options=self._options)
        self._server.add_generic_rpc_handlers((self,))
        try:
            port: int = self._server.add_insecure_port(self._address)
        except RuntimeError as cause:
            message = f"gRPC cannot listen on {self._address}"
            raise Conflict(message, why=str(cause), hint="set another `grpc_port` under [serving]") from cause
        await self._server.start()
        return port

    def stop(self, grace_s: float) -> asyncio.Future[None]:
        """Take no further calls, and end those that still run after ``grace_s`` seconds; done when all have ended."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._server.stop(grace_s))
        return self._stopping

    def _handler_of(self, path: str) -> Callable[[bytes, Grpc], Awaitable[bytes]]:
        """Return what answers one path."""

        async def handle(body: bytes, context: Grpc) -> bytes:
            self.in_flight += 1
            try:
                outcome = await self._outcome(path, body, context)
            finally:
                self.in_flight -= 1
            _close(context, outcome)
            if self._on_answered is not None:
                self._on_answered()
            return outcome.body

        return handle

    def _refusal_of(self, path: str) -> Callable[[Grpc, Grpc], Awaitable[None]]:
        """Return what refuses a path that is not offered, before any message is read."""

        async def refuse(_: Grpc, context: Grpc) -> None:
            _close(context, self._service.unimplemented(path))

        return refuse

    async def _outcome(self, path: str, body: bytes, context: Grpc) -> Outcome:
        """Answer one call, or word what stands in the way."""
        started_ns = time.perf_counter_ns()
        try:
            if self.in_flight > IN_FLIGHT:
                return self._service.refusal(_too_many())
            call = Call(path, body, context.invocation_metadata(), started_ns, context.time_remaining())
            outcome = within_trace(call, self._service.answer, self._spans)
            return outcome if isinstance(outcome, Outcome) else await outcome
        except Exception:  # noqa: BLE001 - the top of the face: gRPC would send the client what failed inside
            _log.exception("fault while answering", extra={"path": path[:200]})
            return self._service.fault()


def _close(context: Grpc, outcome: Outcome) -> None:
    """Tell gRPC how a call ends."""
    if outcome.trailers:
        context.set_trailing_metadata(outcome.trailers)
    if outcome.status is not Status.OK:
        context.set_code(_CODES[outcome.status])
        context.set_details(outcome.sentence)


def _too_many() -> Overloaded:
    """Build the error of one request too many at once."""
    message = f"more than {IN_FLIGHT} requests are in flight"
    return Overloaded(message, hint="send fewer requests at once, or add `workers` under [serving]")
