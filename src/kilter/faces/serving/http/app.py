"""The data plane as a plain ASGI application: read within limits, answer once, word errors."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from kilter.errors import KilterError
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.http.answering import Answering
from kilter.faces.serving.http.compression import coding_of, inflation
from kilter.faces.serving.limits import BODY_BYTES, BODY_READ_S, body_too_large, check_headers, check_length

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from typing import TypeAlias

    from kilter.faces.serving.router import Router

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

__all__ = ["ServingApp"]

_Bytes = TypeVar("_Bytes", bytes, bytearray)

_MANY_HEADERS = 20
_LONG_HEADERS_BYTES = 4_096
_INFLATED_AT_ONCE = 256 * 2**10


class _SlowBodyError(Exception):
    """The body did not arrive in time."""


def _nothing() -> None:
    """Do nothing."""


class ServingApp(Answering):
    """One process's data plane.

    Guarantees: those of Answering; an answer is sent once, whole.

    Parameters
    ----------
    router : Router
        Answers complete requests.
    body_max_bytes : int
        Larger bodies are refused, also when they only become larger out of their content coding.
    body_read_s : float
        Time that a body may take.
    admit : callable or None
        Called once for each request, before its body is looked at; raises Overloaded to refuse it.
    on_answered : callable
        Called after every answer; starts shadow copies.
    """

    def __init__(
        self,
        router: Router,
        *,
        body_max_bytes: int = BODY_BYTES,
        body_read_s: float = BODY_READ_S,
        admit: Callable[[], None] | None = None,
        on_answered: Callable[[], None] = _nothing,
    ) -> None:
        super().__init__(router, body_max_bytes=body_max_bytes, admit=admit, on_answered=on_answered)
        self._body_read_s = body_read_s
        self._reading: dict[asyncio.Task[None] | None, float] = {}
        self._left: set[asyncio.Task[None] | None] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of ASGI scope end at once."""
        if scope["type"] == "http":
            self.in_flight += 1
            await self._deliver(self._read_and_answer(scope, receive), scope["path"], send)

    def later(self, answer: Awaitable[Reply], request: Request) -> Callable[[Message, Receive, Send], Awaitable[None]]:
        """Return an ASGI application that sends one answer when it is there; the request is in flight from now on."""
        self.in_flight += 1

        async def deliver(_: Message, __: Receive, send: Send) -> None:
            await self._deliver(self.settled(answer, request.headers), request.path, send)

        return deliver

    def leave(self, task: asyncio.Task[None]) -> None:
        """End the work for a client that is gone; what nobody has begun is not begun."""
        if not task.done():
            self._left.add(task)
            task.cancel()

    def end_slow(self) -> None:
        """Interrupt requests whose body takes too long; to be called every second or so.

        One sweep costs less than a timer in every request.
        """
        now = time.monotonic()
        for task, since in list(self._reading.items()):
            if task is not None and now - since > self._body_read_s:
                del self._reading[task]
                task.cancel()

    async def _deliver(self, work: Awaitable[Reply], path: str, send: Send) -> None:
        """Send what comes of some work, unless the client is gone by then; the request is in flight until then."""
        task = asyncio.current_task()
        try:
            try:
                reply = await self._worded(work, path)
            finally:
                self.in_flight -= 1
            if any(b"\n" in value for _, value in reply.headers):
                reply = self.fault(path, ValueError("a header of the answer holds a line break"))
            headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
        except ConnectionError:
            return  # the client is gone, and nothing was answered
        except asyncio.CancelledError:
            if task not in self._left:
                raise
            return
        finally:
            self._left.discard(task)
        self.on_answered()

    async def _worded(self, work: Awaitable[Reply], path: str) -> Reply:
        """Wait for an answer, or word what stands in the way."""
        try:
            return await work
        except KilterError as error:
            return self.router.refusal(error, path)
        except _SlowBodyError:
            return self.too_slow(path, "the body did not arrive in time", "send the whole body within 30 s")
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the top of the face: a fault must not end others' connection
            return self.fault(path, error)

    async def _read_and_answer(self, scope: Message, receive: Receive) -> Reply:
        """Answer one request when its body is there."""
        started_ns = time.perf_counter_ns()
        headers = self._begin(scope["headers"], scope["method"])
        body = await self._read(receive)
        if b"content-encoding" in headers:
            body = await self._inflated(headers, body)
        answer = self.respond(Request(scope["method"], scope["path"], headers, body, started_ns))
        return answer if isinstance(answer, Reply) else await self.settled(answer, headers)

    def _begin(self, raw: list[tuple[bytes, bytes]], method: str) -> Mapping[bytes, bytes]:
        """Refuse before the body is read: too many requests, too many headers, too long a body."""
        self.enter(self.in_flight - 1, method)
        headers = dict(raw)
        if len(raw) > _MANY_HEADERS or len(b"".join(headers.values())) > _LONG_HEADERS_BYTES:
            check_headers(raw)
        check_length(headers.get(b"content-length"), self.body_max_bytes)
        coding_of(headers)
        return headers

    async def _inflated(self, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        """Return a body out of its content coding; beside the loop where that takes long."""
        stream = inflation(headers, body, self.body_max_bytes)
        if stream is None:
            return body
        if len(body) > _INFLATED_AT_ONCE or not stream.run(_INFLATED_AT_ONCE):
            await asyncio.to_thread(stream.run)
        return stream.body

    async def _read(self, receive: Receive) -> bytes:
        """Read the whole body, within its limits of size and time (``end_slow`` interrupts this)."""
        task = asyncio.current_task()
        self._reading[task] = time.monotonic()
        try:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                whole: bytes = message["body"]
                return self._fitting(whole)
            body = bytearray()
            while message["type"] == "http.request":
                body += message.get("body", b"")
                self._fitting(body)
                if not message.get("more_body"):
                    return bytes(body)
                message = await receive()
        except asyncio.CancelledError:
            if task in self._reading:  # not by end_slow: the client is gone, or the server is ending
                raise
            raise _SlowBodyError from None
        finally:
            self._reading.pop(task, None)
        raise ConnectionError

    def _fitting(self, body: _Bytes) -> _Bytes:
        """Refuse a body above the limit, as soon as it is above."""
        if len(body) > self.body_max_bytes:
            raise body_too_large(self.body_max_bytes)
        return body
