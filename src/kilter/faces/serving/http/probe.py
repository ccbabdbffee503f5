"""Whether the installed uvicorn is one whose protocol kilter's own can be built on."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["mismatch"]

_FROM, _BELOW = (0, 54), (0, 55)
_METHODS = (
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "on_message_begin",
    "on_url",
    "on_header",
    "on_headers_complete",
    "on_body",
    "on_message_complete",
    "on_response_complete",
    "shutdown",
    "_start_asgi_task",
)
_FIELDS = (
    "access_logger",
    "app",
    "connections",
    "cycle",
    "expect_100_continue",
    "flow",
    "headers",
    "logger",
    "loop",
    "parser",
    "pipeline",
    "scope",
    "server_state",
    "tasks",
    "transport",
    "url",
)
_CYCLE_ARGUMENTS = (
    "self",
    "scope",
    "transport",
    "flow",
    "logger",
    "access_logger",
    "access_log",
    "default_headers",
    "message_event",
    "expect_100_continue",
    "keep_alive",
    "on_response",
)
_CYCLE_FIELDS = ("disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started")


def mismatch(version: str = uvicorn.__version__, module: object = None) -> str:
    """Say why kilter's protocol cannot be built on uvicorn's, or return an empty text.

    Parameters
    ----------
    version : str
        Uvicorn's.
    module : object or None
        Where its protocol is; None = ``uvicorn.protocols.http.httptools_impl``.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not _FROM <= numbers < _BELOW:
        known = ".".join(map(str, _FROM))
        return f"uvicorn is {version}, and the fast path was tested with {known}"
    module = _module() if module is None else module
    protocol, cycle = getattr(module, "HttpToolsProtocol", None), getattr(module, "RequestResponseCycle", None)
    if not inspect.isclass(protocol) or not inspect.isclass(cycle):
        return "uvicorn has no HttpToolsProtocol with a RequestResponseCycle"
    missing = [name for name in _METHODS if not callable(getattr(protocol, name, None))]
    missing += sorted(set(_FIELDS) - _set_by(protocol))
    missing += sorted(set(_CYCLE_FIELDS) - _set_by(cycle))
    if missing:
        return f"uvicorn's protocol has no {', '.join(missing)}"
    if tuple(inspect.signature(cycle.__init__).parameters) != _CYCLE_ARGUMENTS:
        return "uvicorn's RequestResponseCycle is made otherwise"
    return ""


def _module() -> ModuleType | None:
    """Import uvicorn's module, if it is there."""
    try:
        from uvicorn.protocols.http import httptools_impl  # noqa: PLC0415 - a later uvicorn may not have it
    except ImportError:
        return None
    return httptools_impl


def _set_by(kind: type) -> set[str]:
    """Return the names that a class's methods use, its fields among them."""
    codes = [getattr(method, "__code__", None) for method in vars(kind).values()]
    return {name for code in codes if code is not None for name in code.co_names}
