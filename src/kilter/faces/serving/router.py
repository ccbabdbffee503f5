"""Who answers a path, and how the errors of that path are worded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from kilter.errors import InvalidRequest, KilterError, ModelFailed, NotFound
from kilter.faces.serving.errors import NEVER, headers_of, status_of
from kilter.faces.serving.exchange import JSON, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.faces.serving.exchange import Answer, Handler, Request, Wording

__all__ = ["Endpoints", "Router", "plain_wording"]

_log = logging.getLogger(__name__)

_ANY = "{}"
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
    """

    def __init__(self, protocols: Sequence[Endpoints]) -> None:
        self._root = _Node()
        self._wordings: dict[str, Wording] = {}
        self.paths: tuple[tuple[str, str], ...] = tuple(sorted(path for one in protocols for path in one.routes()))
        for protocol in protocols:
            self._wordings |= dict.fromkeys(protocol.roots, protocol.wording)
            for (verb, pattern), handler in protocol.routes().items():
                node = self._root
                for segment in pattern.split("/")[1:]:
                    node = node.next.setdefault(segment, _Node())
                node.handlers[verb] = handler

    def find(self, method: str, path: str) -> Found | Reply:
        """Return who answers, or the answer to a wrong verb.

        Raises
        ------
        NotFound
            If there is no such path.
        """
        names: list[str] = []
        node: _Node | None = self._root
        for segment in path.split("/")[1:]:
            named = node.next.get(segment) if node is not None else None
            if named is None and node is not None and segment and (node := node.next.get(_ANY)) is not None:
                names.append(segment)
            else:
                node = named
        if node is None or not node.handlers or not path.startswith("/"):
            message = "there is no such path"
            raise NotFound(message, hint="see `GET /v2`, or post rows to `/predict/NAME`")
        handler = node.handlers.get(method)
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
        return found if isinstance(found, Reply) else found.handler(request, *found.names)

    def refusal(self, error: KilterError, path: str) -> Reply:
        """Word an error in the form of the path it was asked on."""
        if isinstance(error, tuple(NEVER)):
            _log.error("an error of the control plane reached the data plane", exc_info=error)
            return self.fault(path)
        if isinstance(error, ModelFailed):
            _log.error("model failed", exc_info=error)
        status = status_of(error)
        return Reply(status, [JSON, *headers_of(error, status)], self._wording(path)(error, status))

    def fault(self, path: str) -> Reply:
        """Word a fault of kilter itself: nothing of it leaves the process."""
        error = KilterError(_FAULT, hint="report it, with the log lines of this request")
        headers = [JSON, (b"kilter-error-code", KilterError.code.encode())]
        return Reply(500, headers, self._wording(path)(error, 500))

    def _not_allowed(self, path: str, verbs: str) -> Reply:
        """Build the answer to the wrong verb."""
        error = InvalidRequest(f"this path takes {verbs} only", hint=f"use {verbs}")
        headers = [JSON, (b"allow", verbs.encode()), (b"kilter-error-code", error.code.encode())]
        return Reply(405, headers, self._wording(path)(error, 405))

    def _wording(self, path: str) -> Wording:
        """Return the form of errors below a path."""
        return self._wordings.get(path.split("/", 2)[1] if path.startswith("/") else "", plain_wording)


def plain_wording(error: KilterError, _: int) -> bytes:
    """Return kilter's own error document."""
    field = error.details.get("field")
    return orjson.dumps({"error": error.message, "code": error.code, "field": field, "hint": error.hint})
