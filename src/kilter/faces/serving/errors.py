"""Which HTTP status an error gets on the data plane."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilter import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.errors import KilterError

__all__ = ["ERRORS", "NEVER", "headers_of", "status_of"]

ERRORS: Mapping[type[KilterError], int] = {
    errors.InputError: 400,
    errors.TooLarge: 413,
    errors.HeadersTooLarge: 431,
    errors.UnsupportedMedia: 415,
    errors.NotFound: 404,
    errors.NotReady: 503,
    errors.BudgetSpent: 429,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Busy: 429,
    errors.DeadlineExceeded: 504,
    errors.BackendError: 503,
    errors.FormatError: 500,
    errors.ModelFailed: 500,
    errors.IntegrityError: 503,
}
"""Looked up along the class hierarchy: a family's row covers leaves that have none."""

NEVER: frozenset[type[KilterError]] = frozenset(
    {
        errors.SettingsError,
        errors.UnsafeArtifact,
        errors.Conflict,
        errors.WorldMoved,
        errors.AlreadyFinal,
        errors.GateFailed,
        errors.Inconclusive,
        errors.OnHold,
        errors.ApprovalMissing,
        errors.AuditBroken,
    }
)
"""Leaves that no request of the data plane can meet; one that does appear is a fault of kilter: 500."""

_UNEXPECTED = 500
_LONG_URL = 414


def status_of(error: KilterError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, errors.HeadersTooLarge) and error.details.get("field") == "url":
        return _LONG_URL
    for kind in type(error).__mro__:
        if kind in NEVER:
            return _UNEXPECTED
        if kind in ERRORS:
            return ERRORS[kind]
    return _UNEXPECTED


def headers_of(error: KilterError, status: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with an error: its code, when to retry, what to send, whether the connection ends."""
    headers = [(b"kilter-error-code", error.code.encode())]
    if isinstance(error, errors.Busy) and status == ERRORS[errors.Busy]:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    elif status == ERRORS[errors.NotReady]:
        headers.append((b"retry-after", b"1"))
    elif status == ERRORS[errors.UnsupportedMedia] and "accept_encoding" in error.details:
        headers.append((b"accept-encoding", str(error.details["accept_encoding"]).encode()))
    if status in {ERRORS[errors.TooLarge], ERRORS[errors.HeadersTooLarge], _LONG_URL}:
        headers.append((b"connection", b"close"))
    return headers
