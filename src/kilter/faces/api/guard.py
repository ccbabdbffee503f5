"""What every request passes first, and what every answer carries: hosts, origins, sizes, headers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kilter.errors import Forbidden, InvalidRequest, KilterError, TooLarge
from kilter.faces.api.errors import headers_of, problem, status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Guard"]

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

_BODY_MAX_BYTES = 1024 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Wraps the control plane's application.

    Parameters
    ----------
    app : ASGI application
        What is guarded, its own handler of failures included.
    allowed_hosts : names
        Names, without port, by which it may be called: others are a browser tricked by DNS.

    Guarantees: a request with a foreign host, or one that changes something from a foreign origin,
    never reaches the application; every answer, also to those, carries ``HEADERS``.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str]) -> None:
        self.app = app
        self._hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def armoured(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message.get("headers", ())}
                extra = [pair for pair in HEADERS if pair[0] not in own]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            self._check(scope)
        except KilterError as error:
            await _refuse(error, scope["path"], armoured)
            return
        await self.app(scope, receive, armoured)

    def _check(self, scope: Scope) -> None:
        """Refuse foreign hosts, foreign origins and large bodies."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            message = f"`{host}` is not a name of this server"
            raise Forbidden(message, hint="call it by a name in `server.allowed_hosts`, or add this one there")
        if scope["method"] in _SAFE:
            return
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        # Under `no-referrer` browsers send `Origin: null` with their own forms; Sec-Fetch-Site then tells.
        is_own = origin is None or urlsplit(origin).netloc == host or (origin == "null" and "sec-fetch-site" in headers)
        if not is_own or site not in {"same-origin", "none"}:
            message = "a page of another site asked for a change"
            raise Forbidden(message, where="header Origin", hint="use the dashboard itself")
        if "transfer-encoding" in headers:
            message = "the length of the body is not stated"
            raise InvalidRequest(message, where="header Transfer-Encoding", hint="send Content-Length")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _BODY_MAX_BYTES:
            message = f"the body has {length} bytes, at most {_BODY_MAX_BYTES} are read"
            raise TooLarge(message, where="header Content-Length", hint="send less")


def _name(host: str) -> str:
    """Strip port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


async def _refuse(error: KilterError, path: str, send: Send) -> None:
    """Answer with a problem document."""
    body = problem(error, path)
    headers = {**headers_of(error), "content-type": "application/problem+json", "content-length": str(len(body))}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status_of(error), "headers": encoded})
    await send({"type": "http.response.body", "body": body})
