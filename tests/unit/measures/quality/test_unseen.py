"""Values that the reference did not hold are counted."""

from __future__ import annotations

import numpy as np

from kilter.contracts.check import CheckInputs
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.measures.quality.unseen import run, unseen_share

AGE = Column(name="age", type=ColumnType.FLOAT, low=0.0, high=9.0)
PLAN = Column(name="plan", type=ColumnType.TEXT, levels=("a", "b"))
FREE = Column(name="note", type=ColumnType.TEXT)
LOOSE = Column(name="loose", type=ColumnType.FLOAT)


def texts(*values: object) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def test_missing_is_not_unseen() -> None:
    assert unseen_share(AGE, np.array([np.nan, -3.0, 12.0, -1.0])) == 0.5
    assert unseen_share(PLAN, texts(None, "c", "a", "a")) == 0.25


def test_without_a_reference_nothing_is_unseen() -> None:
    assert unseen_share(FREE, texts("x")) == 0.0
    assert unseen_share(LOOSE, np.array([1e9])) == 0.0
    assert unseen_share(AGE, np.array([])) == 0.0


def test_columns_without_a_reference_or_absent_are_left_out() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=(AGE, PLAN, FREE, LOOSE))
    columns = {"age": np.array([1.0]), "note": texts("x"), "loose": np.array([1.0])}
    age, levels = run(CheckInputs(signature=signature, columns=columns))
    assert (age.metric, age.subject, age.estimate) == ("outside_range_share", "column:age", 0.0)
    assert (levels.metric, levels.estimate) == ("unseen_level_share", None)


def test_text_in_a_number_column_is_no_number() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=(AGE,))
    readings = run(CheckInputs(signature=signature, columns={"age": texts("old")}))
    assert (readings[0].not_evaluated or "").startswith("unsupported_type")
