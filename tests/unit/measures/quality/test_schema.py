"""Tables that do not fit are named column by column."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.check import CheckInputs
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.measures.quality.schema import run, schema_faults

SIGNATURE = Signature(
    task=Task.BINARY,
    target="left",
    columns=(
        Column(name="age", type=ColumnType.INTEGER),
        Column(name="member", type=ColumnType.BOOLEAN),
        Column(name="spend", type=ColumnType.FLOAT),
        Column(name="plan", type=ColumnType.TEXT),
    ),
    classes=("no", "yes"),
    positive="yes",
)


def texts(*values: object) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def good() -> dict[str, np.ndarray]:
    return {
        "spend": np.array([1.5, np.nan]),
        "age": np.array([30.0, 40.0]),
        "member": np.array([0.0, 1.0]),
        "plan": texts("pro", None),
    }


def test_order_and_further_columns_do_not_matter() -> None:
    table = {**good(), "city": texts("Ulm", "Rom")}
    assert schema_faults(SIGNATURE, table) == {}
    (reading,) = run(CheckInputs(signature=SIGNATURE, columns=table))
    assert reading.estimate == 0.0
    assert reading.extra["further_columns"] == 1


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [
        ("age", np.array([30.5, 1.0]), "1 of 2 cells are not whole numbers, such as 30.5"),
        ("age", np.array([1e17, 1.0]), "1 of 2 cells are not whole numbers, such as 1e+17"),
        ("age", texts("thirty", "1"), "1 of 2 cells are not numbers, such as `thirty`"),
        ("member", np.array([2.0, 1.0]), "1 of 2 cells are not 0 or 1, such as 2"),
        ("spend", np.array([np.inf, 1.0]), "1 of 2 cells are infinite"),
    ],
)
def test_what_cannot_be_cast_is_a_fault(column: str, values: np.ndarray, fault: str) -> None:
    assert schema_faults(SIGNATURE, {**good(), column: values}) == {column: fault}


def test_text_that_reads_as_numbers_is_no_fault() -> None:
    table = {**good(), "age": texts("30", None), "member": texts("true", "false"), "plan": np.array([1.0, 2.0])}
    assert schema_faults(SIGNATURE, table) == {}


def test_a_missing_column_is_a_reading_of_its_own() -> None:
    table = good()
    del table["plan"]
    total, one = run(CheckInputs(signature=SIGNATURE, columns=table))
    assert (total.subject, total.estimate) == ("dataset", 1.0)
    assert (one.subject, one.extra["fault"]) == ("column:plan", "the column is missing")


def test_labels_that_the_model_cannot_give_are_a_fault() -> None:
    known = schema_faults(SIGNATURE, {**good(), "left": texts("yes", None)})
    unknown = schema_faults(SIGNATURE, {**good(), "left": texts("yes", "perhaps")})
    assert known == {}
    assert unknown == {"left": "1 of 2 labels are not among no, yes, such as `perhaps`"}
    odd = schema_faults(SIGNATURE, {**good(), "left": texts("yes", ("a",))})
    assert odd == {"left": "labels are not of the model's kind"}


def test_numbers_as_labels_must_be_numbers() -> None:
    signature = Signature(task=Task.REGRESSION, target="y", columns=())
    assert schema_faults(signature, {"y": np.array([1.0, np.nan])}) == {}
    assert schema_faults(signature, {"y": texts("nan", "1")}) == {"y": "1 of 2 labels are not numbers, such as `nan`"}


def test_no_columns_are_no_evidence() -> None:
    (reading,) = run(CheckInputs(signature=SIGNATURE))
    assert reading.estimate is None
