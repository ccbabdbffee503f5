from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from kilter.contracts.swift import Swift


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(metaclass=Swift):
    x: int
    y: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    x: int
    y: int = 2


def test_an_instance_is_as_if_made_without_it() -> None:
    point = Point(x=1)
    assert type(point) is Point
    assert (point, hash(point)) == (Point(x=1, y=2), hash(Plain(x=1)))
    assert repr(point) == repr(Plain(x=1)).replace("Plain", "Point")


def test_an_instance_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Point(x=1).x = 2  # type: ignore[misc]


@pytest.mark.parametrize("values", [{}, {"x": 1, "z": 3}])
def test_wrong_fields_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point.__init__\(\)"):
        Point(**values)


def test_copies_are_equal() -> None:
    point = Point(x=1)
    assert [copy.copy(point), replace(point, y=2)] == [point] * 2
