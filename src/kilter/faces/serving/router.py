"""Who answers a path, and how the errors of that path are worded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kilter.errors import InvalidRequest, KilterError, ModelFailed, NotFound
from kilter.faces.serving.errors import NEVER, headers_of, status_of
from kilter.faces.serving.exchange import JSON, Reply, plain_wording
from kilter.faces.serving.failure import FailureLog
from kilter.faces.serving.metrics.refusal import face_of
from kilter.faces.serving.metrics.trace import TRACEPARENT
from kilter.faces.serving.metrics.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.faces.serving.exchange import Answer, Handler, Request, Wording
    from kilter.faces.serving.metrics.refusal import Refusals
    from kilter.faces.serving.metrics.spans import Spans

__all__ = ["Endpoints", "Found", "Router", "plain_wording"]

_log = logging.getLogger(__name__)

_ANY = "{}"
_ANY_KEY = "/"  # no segment of a request's path can be this
_MOST_SEGMENTS = 16
_FAULT = "kilter failed while answering; the server's log has the cause"


class Endpoints(Protocol):
    """One protocol: its paths, and the form of its errors.

    ``routes`` maps (verb, pattern) to a handler; ``{}`` in a pattern stands for one segment, which
    the handler is given. ``roots`` are the first segments whose errors the protocol words.
    """

    roots: tuple[str, ...]

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return all paths of the protocol."""
        ...

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return the protocol's error body, from an error and its HTTP status."""
        ...


class _Node:
    """One segment of the tree of paths."""

    __slots__ = ("handlers", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.handlers: dict[str, Handler] = {}

    def below(self, segments: Sequence[str]) -> tuple[_Node, list[str]] | None:
        """Return the node of a path from here and the names in it, last first; None if nobody answers there."""
        if not segments:
            return (self, []) if self.handlers else None
        segment, rest = segments[0], segments[1:]
        named = self.next.get(segment)
        found = None if named is None else named.below(rest)
        if found is None and segment and (node := self.next.get(_ANY_KEY)) is not None:
            found = node.below(rest)
            if found is not None:
                found[1].append(segment)
        return found


class Found(NamedTuple):
    """A handler and the names that stood in the path."""

    handler: Handler
    names: tuple[str, ...]


class Router:
    """The table of all paths.

    Guarantees: a named segment wins over ``{}``; an empty segment is no name.

    Parameters
    ----------
    protocols : sequence of Endpoints
        Their paths must not overlap.
    refusals : Refusals or None
        Counts what is refused.
    spans : Spans or None
        Makes a span of each request.
    """

    def __init__(
        self, protocols: Sequence[Endpoints], *, refusals: Refusals | None = None, spans: Spans | None = None
    ) -> None:
        self._root = _Node()
        self._log_failure = FailureLog(_log)
        self._refusals = refusals
        self._spans = spans
        self._wordings: dict[str, Wording] = {}
        self.paths: tuple[tuple[str, str], ...] = tuple(sorted(path for one in protocols for path in one.routes()))
        for protocol in protocols:
            self._wordings |= dict.fromkeys(protocol.roots, protocol.wording)
            for (verb, pattern), handler in protocol.routes().items():
                node = self._root
                for segment in pattern.split("/")[1:]:
                    node = node.next.setdefault(_ANY_KEY if segment == _ANY else segment, _Node())
                node.handlers[verb] = handler

    def find(self, method: str, path: str) -> Found | Reply:
        """Return who answers, or the answer to a wrong verb; HEAD is GET whose body the sender keeps.

        Raises
        ------
        NotFound
            If there is no such path.
        """
        node, names = self._walk(path)
        if node is None or not path.startswith("/"):
            message = "there is no such path"
            raise NotFound(message, hint="see `GET /v2`, or post rows to `/predict/NAME`")
        handler = node.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            return self._not_allowed(path, ", ".join(sorted(node.handlers)))
        return Found(handler, tuple(names))

    def answer(self, request: Request) -> Answer:
        """Answer one complete request.

        Raises
        ------
        KilterError
            Whatever stands in the way; ``refusal`` words it.
        """
        found = self.find(request.method, request.path)
        return found if isinstance(found, Reply) else self.call(found, request)

    def call(self, found: Found, request: Request) -> Answer:
        """Have a request answered by who was found for its path.

        Raises
        ------
        KilterError
            Whatever stands in the way; ``refusal`` words it.
        """
        if self._spans is not None or TRACEPARENT in request.headers:
            return traced(
                request,
                handler=lambda within: found.handler(within, *found.names),
                refusal=lambda error: self.refusal(error, request.path),
                spans=self._spans,
                pattern=_pattern(request.path, found.names),
            )
        return found.handler(request, *found.names)

    def refusal(self, error: KilterError, path: str) -> Reply:
        """Word an error in the form of the path it was asked on."""
        if isinstance(error, tuple(NEVER)):
            _log.error("an error of the control plane reached the data plane", exc_info=error)
            return self.fault(path)
        if isinstance(error, ModelFailed):
            self._log_failure(error)
        self._count(error, path)
        status = status_of(error)
        return Reply(status, [JSON, *headers_of(error, status)], self._wording(path)(error, status))

    def fault(self, path: str) -> Reply:
        """Word a fault of kilter itself: nothing of it leaves the process."""
        error = KilterError(_FAULT, hint="report it, with the log lines of this request")
        self._count(error, path)
        headers = [JSON, (b"kilter-error-code", KilterError.code.encode())]
        return Reply(500, headers, self._wording(path)(error, 500))

    def _not_allowed(self, path: str, verbs: str) -> Reply:
        """Build the answer to the wrong verb."""
        error = InvalidRequest(f"this path takes {verbs} only", hint=f"use {verbs}")
        self._count(error, path)
        headers = [JSON, (b"allow", verbs.encode()), (b"kilter-error-code", error.code.encode())]
        return Reply(405, headers, self._wording(path)(error, 405))

    def _walk(self, path: str) -> tuple[_Node | None, list[str]]:
        """Return the node of a path, and the names that stand in it."""
        found = self._root.below(path.split("/")[1:_MOST_SEGMENTS])
        return (None, []) if found is None else (found[0], found[1][::-1])

    def _count(self, error: KilterError, path: str) -> None:
        """Count an error under whom the path names."""
        if self._refusals is not None:
            names = self._walk(path)[1]
            self._refusals.count(error, face_of(path), names[0] if names else "")

    def _wording(self, path: str) -> Wording:
        """Return the form of errors below a path."""
        return self._wordings.get(path.split("/", 2)[1] if path.startswith("/") else "", plain_wording)


def _pattern(path: str, names: tuple[str, ...]) -> str:
    """Return a path with ``{}`` in place of its names."""
    left = list(names)
    return "/".join(_ANY if left and segment == left[0] and left.pop(0) else segment for segment in path.split("/"))
