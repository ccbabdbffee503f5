"""Which gRPC status an error gets, and what travels behind it."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import TYPE_CHECKING

from kilter import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.errors import KilterError

__all__ = ["ERRORS", "Status", "status_of", "trailers_of"]


class Status(IntEnum):
    """The codes of the gRPC specification that are answered here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


ERRORS: Mapping[type[KilterError], int] = {
    errors.InputError: Status.INVALID_ARGUMENT,
    errors.TooLarge: Status.RESOURCE_EXHAUSTED,
    errors.HeadersTooLarge: Status.RESOURCE_EXHAUSTED,
    errors.NotFound: Status.NOT_FOUND,
    errors.NotReady: Status.UNAVAILABLE,
    errors.BudgetSpent: Status.FAILED_PRECONDITION,
    errors.Unauthenticated: Status.UNAUTHENTICATED,
    errors.Forbidden: Status.PERMISSION_DENIED,
    errors.Busy: Status.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: Status.DEADLINE_EXCEEDED,
    errors.BackendError: Status.UNAVAILABLE,
    errors.FormatError: Status.INTERNAL,
    errors.ModelFailed: Status.INTERNAL,
    errors.MissingExtra: Status.UNIMPLEMENTED,
    errors.IntegrityError: Status.DATA_LOSS,
}
"""Looked up along the class hierarchy: a family's row covers leaves that have none."""


def status_of(error: KilterError) -> Status:
    """Return the gRPC status of an error."""
    for kind in type(error).__mro__:
        if kind in ERRORS:
            return Status(ERRORS[kind])
    return Status.INTERNAL


def trailers_of(error: KilterError, status: Status) -> tuple[tuple[str, str], ...]:
    """Return the trailing metadata of an error: its code, and when to retry."""
    code = ("kilter-error-code", error.code)
    if isinstance(error, errors.Busy) and status is Status.RESOURCE_EXHAUSTED:
        return code, ("retry-after", str(max(1, math.ceil(error.retry_after_s))))
    return (code, ("retry-after", "1")) if status is Status.UNAVAILABLE else (code,)
