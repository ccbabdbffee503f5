"""Columns and batches turn into one another without loss, and refuse what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures.rows import batch_of, columns_of, decided, label_indexes, label_text

SIGNATURE = Signature(
    task=Task.BINARY,
    target="left",
    columns=(
        Column(name="age", type=ColumnType.INTEGER),
        Column(name="plan", type=ColumnType.TEXT),
        Column(name="member", type=ColumnType.BOOLEAN),
    ),
    classes=("no", "yes"),
    positive="yes",
)
REGRESSION = Signature(task=Task.REGRESSION, target="y", columns=())


def texts(*values: object) -> np.ndarray:
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def test_columns_survive_the_round_trip() -> None:
    columns = {"age": np.array([1.0, np.nan]), "plan": texts("pro", None), "member": np.array([0.0, 1.0])}
    back = columns_of(SIGNATURE, batch_of(SIGNATURE, columns))
    assert list(back) == ["age", "member", "plan"]
    for name, column in columns.items():
        np.testing.assert_array_equal(np.asarray(back[name]), column)


def test_numbers_hidden_in_objects_are_read() -> None:
    columns = {"age": texts("3", None), "plan": texts("pro", "pro"), "member": texts(True, "false")}
    batch = batch_of(SIGNATURE, columns)
    np.testing.assert_array_equal(np.asarray(batch.numeric), [[3.0, 1.0], [np.nan, 0.0]])


def test_numbers_in_a_text_column_become_their_label_text() -> None:
    columns = {"age": np.ones(3), "plan": np.array([1.0, np.nan, 2.5]), "member": np.ones(3)}
    assert np.asarray(batch_of(SIGNATURE, columns).text)[:, 0].tolist() == ["1", None, "2.5"]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(SchemaMismatch, match=r"1 column.s. of the model are missing: `plan`"):
        batch_of(SIGNATURE, {"age": np.ones(1), "member": np.ones(1)})


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="column `member` has 2 rows, expected 1"):
        batch_of(SIGNATURE, {"age": np.ones(1), "plan": texts("a"), "member": np.ones(2)})


@pytest.mark.parametrize("value", ["abc", object()])
def test_text_in_a_number_column_is_refused(value: object) -> None:
    with pytest.raises(SchemaMismatch, match="column `age` holds text"):
        batch_of(SIGNATURE, {"age": texts(value), "plan": texts("a"), "member": np.ones(1)})


def test_a_batch_of_another_width_is_refused() -> None:
    batch = Batch(rows=1, numeric=np.ones((1, 1)), text=texts("a").reshape(1, 1))
    with pytest.raises(SchemaMismatch, match="the batch has 1 number and 1 text columns"):
        columns_of(SIGNATURE, batch)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (np.bool_(0), "false"),
        (np.int32(7), "7"),
        (np.float64(-2.0), "-2"),
        (1e300, "1e+300"),
        (0.1, "0.1"),
    ],
)
def test_every_kind_of_label_has_one_text(value: object, text: str) -> None:
    assert label_text(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), [1], {}])
def test_what_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(SchemaMismatch, match="a label is text"):
        label_text(value)


def test_unknown_and_missing_labels_have_no_index() -> None:
    labels = texts("yes", "maybe", None, float("nan"))
    np.testing.assert_array_equal(label_indexes(SIGNATURE, labels), [1.0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(
    ("classes", "labels"), [(("0", "1"), (False, "true", 1, 0.0)), (("false", "true"), ("0", 1, True, "false"))]
)
def test_booleans_and_their_numbers_are_the_same_label(classes: tuple[str, ...], labels: tuple[object, ...]) -> None:
    signature = Signature(task=Task.BINARY, target="y", columns=(), classes=classes)
    np.testing.assert_array_equal(label_indexes(signature, texts(*labels)), [0.0, 1.0, 1.0, 0.0])


def test_regression_labels_are_numbers() -> None:
    np.testing.assert_array_equal(label_indexes(REGRESSION, texts("1.5", None, 2)), [1.5, np.nan, 2.0])


def test_a_score_at_the_threshold_is_positive() -> None:
    scores = np.array([[0.5, 0.5], [0.51, 0.49]])
    np.testing.assert_array_equal(decided(SIGNATURE, scores, 0.5), [1.0, 0.0])


def test_other_tasks_take_the_largest_or_the_value() -> None:
    three = Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("a", "b", "c"))
    np.testing.assert_array_equal(decided(three, np.array([[0.2, 0.4, 0.4]]), 0.5), [1.0])
    np.testing.assert_array_equal(decided(REGRESSION, np.array([[3.0], [4.0]]), 0.5), [3.0, 4.0])
