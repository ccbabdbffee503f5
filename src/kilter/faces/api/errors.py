"""Which HTTP status an error gets on the control plane, and the problem document that carries it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from kilter import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.errors import KilterError

__all__ = ["ERRORS", "UNEXPECTED", "headers_of", "problem", "status_of"]

ERRORS: Mapping[type[KilterError], int] = {
    errors.InputError: 422,
    errors.TooLarge: 413,
    errors.HeadersTooLarge: 431,
    errors.UnsupportedMedia: 415,
    errors.StateError: 409,
    errors.NotFound: 404,
    errors.WorldMoved: 412,
    errors.NotReady: 503,
    errors.Refused: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Busy: 429,
    errors.DeadlineExceeded: 504,
    errors.BackendError: 503,
    errors.FormatError: 500,
    errors.ModelFailed: 500,
    errors.MissingExtra: 501,
    errors.IntegrityError: 422,
    errors.AuditBroken: 500,
}
"""Looked up along the class hierarchy: a family's row covers leaves that have none."""

UNEXPECTED = 500


def status_of(error: KilterError) -> int:
    """Return the HTTP status of an error."""
    return next((ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS), UNEXPECTED)


def headers_of(error: KilterError) -> dict[str, str]:
    """Return the headers that go with an error: its code, and when to try again."""
    headers = {"kilter-error-code": error.code}
    if isinstance(error, errors.Busy):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, errors.NotReady):
        headers["retry-after"] = "1"
    return headers


def problem(error: KilterError, instance: str) -> bytes:
    """Return the error as ``application/problem+json`` (RFC 9457)."""
    details = dict(error.details)
    faults = details.pop("errors", [])
    title = (type(error).__doc__ or "").partition("\n")[0].rstrip(".")
    return msgspec.json.encode(
        {
            "type": f"/docs/errors/{error.code}",
            "title": title,
            "status": status_of(error),
            "detail": error.message,
            "instance": instance,
            "code": error.code,
            "where": error.where,
            "why": error.why,
            "hint": error.hint,
            "errors": faults,
            "details": details,
        }
    )
