from __future__ import annotations

from kilter.contracts.signature import Column, ColumnType, Signature, Task

COLUMNS = (
    Column(name="plan", type=ColumnType.TEXT),
    Column(name="age", type=ColumnType.INTEGER),
    Column(name="town", type=ColumnType.TEXT),
    Column(name="is_new", type=ColumnType.BOOLEAN),
)


def test_text_and_numbers_travel_apart_in_order() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=COLUMNS)
    assert signature.numeric_names == ("age", "is_new")
    assert signature.text_names == ("plan", "town")


def test_the_positive_class_has_a_place_among_the_classes() -> None:
    binary = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
    assert binary.positive_index == 1
    assert Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("a", "b", "c")).positive_index == 0
