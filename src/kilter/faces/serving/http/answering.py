"""The top of the face: a whole request is answered, whatever happens, the same on every path of the wire."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kilter.errors import InvalidRequest, KilterError, Overloaded
from kilter.faces.serving.exchange import Reply
from kilter.faces.serving.http.compression import FROM_BYTES, chosen, compressed
from kilter.faces.serving.limits import BODY_BYTES, IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kilter.faces.serving.exchange import Answer, Request
    from kilter.faces.serving.router import Found, Router

__all__ = ["Answering"]

_log = logging.getLogger(__name__)

_CLOSE = (b"connection", b"close")
_AT_ONCE_BYTES = 64 * 2**10


def _nothing() -> None:
    """Do nothing."""


class Answering:
    """Between the wire and the router.

    Guarantees: a client's mistake is never a 500; nothing of a fault but its code leaves the process;
    what takes long (a long answer to be compressed, a model elsewhere) is waited for without holding
    up others.

    Parameters
    ----------
    router : Router
        Answers complete requests.
    body_max_bytes : int
        Larger bodies are refused, also when they only become larger out of their content coding.
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
        admit: Callable[[], None] | None = None,
        on_answered: Callable[[], None] = _nothing,
    ) -> None:
        self.router = router
        self.body_max_bytes = body_max_bytes
        self.on_answered = on_answered
        self.in_flight = 0
        self._admit = admit

    def enter(self, others: int, method: str = "POST") -> None:
        """Refuse a request before any work is done for it; ``others`` are in flight.

        Only work is refused for the sake of other work: whoever asks for health, by GET, gets an answer.

        Raises
        ------
        Overloaded
            If too many requests are in flight, or ``admit`` says so.
        """
        if others >= IN_FLIGHT:
            message = f"more than {IN_FLIGHT} requests are in flight"
            raise Overloaded(message, hint="send fewer requests at once, or add `workers` under [serving]")
        if method == "POST" and self._admit is not None:
            self._admit()

    def respond(self, request: Request, found: Found | None = None) -> Answer:
        """Answer one complete request; an answer that comes later goes through ``settled``.

        Parameters
        ----------
        request : Request
            It has entered, unless ``found`` is given.
        found : Found or None
            Who answers, where that is known; the request enters here.
        """
        try:
            if found is None:
                answer = self.router.answer(request)
            else:
                if self.in_flight or self._admit is not None:
                    self.enter(self.in_flight)
                answer = self.router.call(found, request)
        except KilterError as error:
            answer = self.router.refusal(error, request.path)
        except Exception as error:  # noqa: BLE001 - the top of the face: a fault must not end others' connection
            answer = self.fault(request.path, error)
        if type(answer) is not Reply or len(answer.body) < FROM_BYTES:
            return answer
        return self._coded(answer, request.headers)

    def refusal(self, error: KilterError, path: str) -> Reply:
        """Word an error that ends the connection."""
        status, headers, body = self.router.refusal(error, path)
        return Reply(status, headers if _CLOSE in headers else [*headers, _CLOSE], body)

    def too_slow(self, path: str, message: str, hint: str) -> Reply:
        """Word that the client took too long, which ends the connection."""
        return self.refusal(InvalidRequest(message, hint=hint), path)._replace(status=408)

    def fault(self, path: str, error: BaseException | None) -> Reply:
        """Log a fault of kilter and word it."""
        _log.error("fault while answering", exc_info=error, extra={"path": path[:200]})
        return self.router.fault(path)

    async def settled(self, answer: Awaitable[Reply], headers: Mapping[bytes, bytes]) -> Reply:
        """Wait for an answer that comes later; its errors are the caller's to word."""
        reply = await answer
        coded = reply if len(reply.body) < FROM_BYTES else self._coded(reply, headers)
        return coded if isinstance(coded, Reply) else await coded

    def _coded(self, reply: Reply, headers: Mapping[bytes, bytes]) -> Answer:
        """Compress a long answer if the client takes it; beside the loop if it is very long."""
        coding = chosen(headers.get(b"accept-encoding"))
        if coding is None or len(reply.body) <= _AT_ONCE_BYTES:
            return compressed(reply, coding)
        return asyncio.to_thread(compressed, reply, coding)
