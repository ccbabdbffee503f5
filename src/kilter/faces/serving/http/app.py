"""The data plane as a plain ASGI application: read within limits, answer once, word errors."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from kilter.errors import InvalidRequest, KilterError, Overloaded, UnsupportedMedia
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.limits import (
    BODY_BYTES,
    BODY_READ_S,
    IN_FLIGHT,
    body_too_large,
    check_headers,
    check_length,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from typing import TypeAlias

    from kilter.faces.serving.router import Router

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

__all__ = ["ServingApp"]

_Bytes = TypeVar("_Bytes", bytes, bytearray)

_log = logging.getLogger(__name__)

_MANY_HEADERS = 20
_LONG_HEADERS_BYTES = 4_096


class _SlowBodyError(Exception):
    """The body did not arrive in time."""


class ServingApp:
    """One process's data plane.

    Guarantees: a client's mistake is never a 500; an answer is sent once, whole; nothing of a fault
    but its code leaves the process.

    Parameters
    ----------
    router : Router
        Answers complete requests.
    body_max_bytes : int
        Larger bodies are refused.
    on_answered : callable
        Called after every answer; starts shadow copies.
    """

    def __init__(
        self,
        router: Router,
        *,
        body_max_bytes: int = BODY_BYTES,
        body_read_s: float = BODY_READ_S,
        on_answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._router = router
        self._body_max_bytes = body_max_bytes
        self._body_read_s = body_read_s
        self._on_answered = on_answered
        self._reading: dict[asyncio.Task[None] | None, float] = {}
        self.in_flight = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of ASGI scope end at once."""
        if scope["type"] != "http":
            return
        self.in_flight += 1
        try:
            reply = await self._reply(scope, receive)
        except ConnectionError:
            return  # the client is gone, and nothing was answered
        finally:
            self.in_flight -= 1
        headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        self._on_answered()

    async def _reply(self, scope: Message, receive: Receive) -> Reply:
        """Read and answer, or word what stands in the way."""
        started_ns = time.perf_counter_ns()
        path: str = scope["path"]
        try:
            headers = self._admit(scope["headers"])
            body = await self._read(receive)
            answer = self._router.answer(Request(scope["method"], path, headers, body, started_ns))
            return answer if isinstance(answer, Reply) else await answer
        except KilterError as error:
            return self._router.refusal(error, path)
        except _SlowBodyError:
            return self._too_slow(path)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the top of the face: a fault of kilter must not end the connection of others
            _log.exception("fault while answering", extra={"path": path[:200]})
            return self._router.fault(path)

    def _admit(self, raw: list[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
        """Refuse before the body is read: too many requests, too many headers, too long a body."""
        if self.in_flight > IN_FLIGHT:
            message = f"more than {IN_FLIGHT} requests are in flight"
            raise Overloaded(message, hint="send fewer requests at once, or add `workers` under [serving]")
        headers = dict(raw)
        if len(raw) > _MANY_HEADERS or len(b"".join(headers.values())) > _LONG_HEADERS_BYTES:
            check_headers(raw)
        check_length(headers.get(b"content-length"), self._body_max_bytes)
        if b"content-encoding" in headers and headers[b"content-encoding"] != b"identity":
            message = "the body has a content coding, which is not spoken here"
            raise UnsupportedMedia(message, hint="send the body without `content-encoding`")
        return headers

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
            if task in self._reading:  # the server is ending
                raise
            raise _SlowBodyError from None
        finally:
            self._reading.pop(task, None)
        raise ConnectionError

    def end_slow(self) -> None:
        """Interrupt requests whose body takes too long; to be called every second or so.

        One sweep costs less than a timer in every request.
        """
        now = time.monotonic()
        for task, since in list(self._reading.items()):
            if task is not None and now - since > self._body_read_s:
                del self._reading[task]
                task.cancel()

    def _fitting(self, body: _Bytes) -> _Bytes:
        """Refuse a body above the limit, as soon as it is above."""
        if len(body) > self._body_max_bytes:
            raise body_too_large(self._body_max_bytes)
        return body

    def _too_slow(self, path: str) -> Reply:
        """Word that the body did not arrive in time."""
        error = InvalidRequest("the body did not arrive in time", hint="send the whole body within 30 s")
        reply = self._router.refusal(error, path)
        return Reply(408, [*reply.headers, (b"connection", b"close")], reply.body)
