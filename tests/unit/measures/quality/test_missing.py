"""Missing cells are counted, and matter where none may be."""

from __future__ import annotations

import numpy as np

from kilter.contracts.check import CheckInputs
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.measures.quality.missing import missing_share, run

SIGNATURE = Signature(
    task=Task.REGRESSION,
    target="y",
    columns=(
        Column(name="age", type=ColumnType.FLOAT),
        Column(name="plan", type=ColumnType.TEXT, nullable=True),
        Column(name="gone", type=ColumnType.TEXT),
    ),
)


def test_shares_are_exact() -> None:
    assert missing_share(np.array([1.0, np.nan])) == 0.5
    assert missing_share(np.array(["a", None, None, "b"], dtype=object)) == 0.5
    assert missing_share(np.array([])) == 0.0


def test_only_columns_that_may_not_be_missing_are_faults() -> None:
    columns = {"age": np.array([1.0, np.nan]), "plan": np.array([None, "a"], dtype=object)}
    faults, age, plan = run(CheckInputs(signature=SIGNATURE, columns=columns))
    assert (faults.metric, faults.estimate, faults.extra["columns"]) == ("missing_faults", 1.0, "age")
    assert (age.subject, age.estimate) == ("column:age", 0.5)
    assert plan.estimate == 0.5


def test_no_columns_are_no_evidence() -> None:
    assert run(CheckInputs(signature=SIGNATURE))[0].estimate is None
