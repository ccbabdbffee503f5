"""Exit codes of the command line, by class of error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.errors import (
    AlreadyFinal,
    ApprovalMissing,
    BackendError,
    Busy,
    Conflict,
    Inconclusive,
    InputError,
    IntegrityError,
    KilterError,
    MissingExtra,
    NotFound,
    NotReady,
    Refused,
    StateError,
    Unauthenticated,
    UnsafeArtifact,
    WorldMoved,
)
from kilter.errors import Forbidden as ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ANSWER_IS_NO", "COULD_NOT", "DONE", "ERRORS", "INTERRUPTED", "PERSON_NEEDED", "USAGE", "exit_code", "worst"]

DONE = 0
ANSWER_IS_NO = 1
USAGE = 2
COULD_NOT = 3
PERSON_NEEDED = 4
INTERRUPTED = 130
_WORST_FIRST = (INTERRUPTED, USAGE, ANSWER_IS_NO, COULD_NOT, PERSON_NEEDED, DONE)

ERRORS: Mapping[type[KilterError], int] = {
    KilterError: COULD_NOT,
    InputError: USAGE,
    UnsafeArtifact: ANSWER_IS_NO,
    StateError: ANSWER_IS_NO,
    NotFound: USAGE,
    Conflict: ANSWER_IS_NO,
    WorldMoved: ANSWER_IS_NO,
    NotReady: COULD_NOT,
    AlreadyFinal: ANSWER_IS_NO,
    Refused: ANSWER_IS_NO,
    Inconclusive: COULD_NOT,
    ApprovalMissing: PERSON_NEEDED,
    Unauthenticated: USAGE,
    ForbiddenError: USAGE,
    Busy: COULD_NOT,
    BackendError: COULD_NOT,
    MissingExtra: USAGE,
    IntegrityError: ANSWER_IS_NO,
}


def exit_code(error: KilterError) -> int:
    """Return the exit code of an error: the row of its nearest class, or 4 where a person has to review."""
    if error.details.get("awaits_review") is True:
        return PERSON_NEEDED
    return next(ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS)


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of several outcomes: usage before no, no before could not, then a person, then done."""
    return min(codes, key=_WORST_FIRST.index, default=DONE)
