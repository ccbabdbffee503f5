"""Errors as problem documents."""

from __future__ import annotations

import json

import pytest

from kilter import errors
from kilter.errors import KilterError, Overloaded
from kilter.faces.api.errors import headers_of, problem, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnknownName("x"), 422),
        (errors.NotFound("x"), 404),
        (errors.OnHold("x"), 409),
        (errors.WorldMoved("x"), 412),
        (errors.MissingExtra("x"), 501),
        (KilterError("x"), 500),
    ],
)
def test_a_family_covers_its_leaves(error: KilterError, status: int) -> None:
    assert status_of(error) == status


def test_busy_errors_say_when_to_come_back() -> None:
    assert headers_of(Overloaded("x", retry_after_s=2.2))["retry-after"] == "3"
    assert headers_of(errors.NotReady("x"))["retry-after"] == "1"
    assert "retry-after" not in headers_of(errors.NotFound("x"))


def test_a_problem_has_all_fields() -> None:
    error = errors.SchemaMismatch(
        "two columns differ", where="row 1", why="renamed", hint="rename", details={"errors": [{"field": "a"}], "n": 2}
    )
    document = json.loads(problem(error, "/v1/x"))
    assert document == {
        "type": "/docs/errors/input.schema",
        "title": "Columns, types or lengths differ from what was declared",
        "status": 422,
        "detail": "two columns differ",
        "instance": "/v1/x",
        "code": "input.schema",
        "where": "row 1",
        "why": "renamed",
        "hint": "rename",
        "errors": [{"field": "a"}],
        "details": {"n": 2},
    }
