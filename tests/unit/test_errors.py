"""The exception tree: families say what the caller can do, codes never clash."""

from __future__ import annotations

import inspect
import re

import pytest

from kilter import errors
from kilter.errors import (
    BackendError,
    Busy,
    InputError,
    IntegrityError,
    KilterError,
    MissingExtra,
    NotFound,
    Overloaded,
    Refused,
    StateError,
    UnknownName,
)

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, KilterError)]
FAMILIES = (InputError, StateError, Refused, Busy, BackendError, IntegrityError)
LEAVES = [kind for kind in TREE if kind is not KilterError and kind not in FAMILIES]


def test_every_leaf_belongs_to_one_family() -> None:
    for kind in LEAVES:
        assert sum(issubclass(kind, family) for family in FAMILIES) == 1, kind
        assert kind.__mro__[1] in FAMILIES


def test_codes_are_unique_and_dotted() -> None:
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", kind.code) for kind in LEAVES)


def test_the_printed_tree_is_the_real_one() -> None:
    printed = dict(re.findall(r"[├└]── (\w+) +([a-z_]+\.[a-z_]+)", inspect.getdoc(errors) or ""))
    assert printed == {kind.__name__: kind.code for kind in LEAVES}


def test_all_names_are_public() -> None:
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in TREE)


@pytest.mark.parametrize(
    ("kind", "builtin"), [(InputError, ValueError), (UnknownName, LookupError), (MissingExtra, ImportError)]
)
def test_python_callers_can_catch_what_they_know(kind: type[KilterError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_an_error_keeps_what_it_was_told() -> None:
    details: dict[str, errors.Detail] = {"field": "x"}
    error = NotFound("no `d`", where="here", why="never made", hint="make it", details=details)
    assert (str(error), error.message, error.where, error.why, error.hint) == (
        "no `d`",
        "no `d`",
        "here",
        "never made",
        "make it",
    )
    details["field"] = "y"
    assert error.details == {"field": "x"}
    bare = NotFound("no `d`")
    assert (bare.where, bare.why, bare.hint, bare.details) == (None, None, None, {})


@pytest.mark.parametrize(
    ("known", "hint", "near"),
    [
        (["churn", "spam"], "use `churn`", ["churn"]),
        (["chain", "churn"], "use `churn` or `chain`", ["churn", "chain"]),
        (["zebra", "apple"], "use one of `apple`, `zebra`", []),
        ([], "add a model first", []),
    ],
)
def test_an_unknown_name_comes_with_the_nearest_ones(known: list[str], hint: str, near: list[str]) -> None:
    error = UnknownName.among("model", "chrn", known, where="kilter.toml")
    assert (error.message, error.hint, error.details, error.where) == (
        "unknown model `chrn`",
        hint,
        {"near": near},
        "kilter.toml",
    )


def test_whoever_is_busy_says_when_to_come_back() -> None:
    assert Overloaded("too much").retry_after_s == 1.0
    busy = Overloaded("too much", retry_after_s=30.0, where="queue", why="full", hint="wait", details={"depth": 9})
    assert (busy.retry_after_s, busy.where, busy.why, busy.hint, busy.details) == (
        30.0,
        "queue",
        "full",
        "wait",
        {"depth": 9},
    )
