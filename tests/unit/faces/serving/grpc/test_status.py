"""Claims about the gRPC status of errors; tests/arch/test_errors.py holds every leaf to its page."""

from __future__ import annotations

import pytest

from kilter import errors
from kilter.faces.serving.errors import ERRORS as HTTP
from kilter.faces.serving.errors import NEVER
from kilter.faces.serving.grpc.status import ERRORS, Status, status_of, trailers_of


class _Unheard(errors.KilterError):
    code = "test.unheard"


def test_what_no_row_covers_is_a_fault() -> None:
    assert status_of(_Unheard("x")) is Status.INTERNAL


def test_every_error_that_http_answers_has_a_row_here_too() -> None:
    for kind in HTTP:
        assert kind in ERRORS or any(parent in ERRORS for parent in kind.__mro__), kind
    assert not set(ERRORS) & NEVER


_CASES: dict[str, tuple[errors.KilterError, dict[str, str]]] = {
    "wrong": (errors.InvalidRequest("x"), {"kilter-error-code": "input.invalid"}),
    "busy": (errors.Overloaded("x", retry_after_s=1.2), {"kilter-error-code": "busy.overloaded", "retry-after": "2"}),
    "at once": (
        errors.Overloaded("x", retry_after_s=0.0),
        {"kilter-error-code": "busy.overloaded", "retry-after": "1"},
    ),
    "late": (errors.DeadlineExceeded("x"), {"kilter-error-code": "busy.deadline"}),
    "loading": (errors.NotReady("x"), {"kilter-error-code": "state.not_ready", "retry-after": "1"}),
    "full disk": (errors.JournalUnavailable("x"), {"kilter-error-code": "backend.journal", "retry-after": "1"}),
    "failed": (errors.ModelFailed("x"), {"kilter-error-code": "model.failed"}),
    "large": (errors.TooLarge("x"), {"kilter-error-code": "input.too_large"}),
}


@pytest.mark.parametrize("case", _CASES)
def test_an_error_travels_with_its_code_and_says_when_to_come_back(case: str) -> None:
    error, trailers = _CASES[case]
    assert dict(trailers_of(error, status_of(error))) == trailers
