"""Claims about what names a route table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.ids import Digest
from kilter.contracts.route import Route, RouteVariant
from kilter.faces.serving.processes import mark
from kilter.faces.serving.processes.mark import fingerprint, mark_of
from kilter.testing.plane import table

if TYPE_CHECKING:
    import pytest

_ROUTE = Route(deployment="churn", champion=RouteVariant(version=1, digest=Digest("sha256:1")))


def test_equal_tables_have_one_name() -> None:
    assert fingerprint(table(3, _ROUTE)) == fingerprint(table(3, replace(_ROUTE)))
    assert len(fingerprint(table(3, _ROUTE))) == 32


def test_any_difference_makes_another_name() -> None:
    first = table(3, _ROUTE)
    others = [table(4, _ROUTE), table(3, replace(_ROUTE, weight=1)), replace(first, reason="again"), table(3)]
    names = [fingerprint(one) for one in (first, *others)]
    assert len(set(names)) == len(names)
    assert len({mark_of(one) for one in (first, *others)}) == len(names)


def test_a_mark_is_64_bits_of_the_name() -> None:
    assert mark_of(table(3, _ROUTE)) == int(fingerprint(table(3, _ROUTE)), 16) >> 64


def test_no_table_has_the_mark_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mark, "fingerprint", lambda _: "0" * 16 + "f" * 16)
    assert mark_of(table(3, _ROUTE)) == 1
