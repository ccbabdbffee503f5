from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch
from kilter.policy.training import holdout_start, merged, only_labelled, training_columns
from kilter.testing.rollouts import SIGNATURE, START, LoggedRow, joined

ROW = LoggedRow(at=START, label="1", label_at=START)
X = {"x": np.array([0.1, 0.2, 0.3])}


def labels(*texts: str) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(texts, dtype=object)


def test_the_newest_third_at_most_is_kept_for_judging() -> None:
    assert holdout_start(np.arange(100)) == 70
    assert holdout_start(np.arange(100_000)) == 98_000
    assert holdout_start(np.array([5, 3])) == 5


def test_rows_without_a_label_are_left_out() -> None:
    rows = joined([(0, ROW), (1, replace(ROW, label=None)), (2, replace(ROW, x=0.5))])
    kept = only_labelled(rows)
    assert kept.n == 2
    assert np.asarray(kept.columns["x"]).tolist() == [0.0, 0.5]
    assert only_labelled(kept) == kept


def test_numeric_classes_become_numbers_and_others_stay_text() -> None:
    table = training_columns(SIGNATURE, {**X, "other": X["x"]}, labels("1", "0", "new"))
    assert np.asarray(table["y"]).tolist() == [1.0, 0.0]
    assert sorted(table) == ["x", "y"]
    named = replace(SIGNATURE, classes=("no", "yes"), positive="yes")
    assert np.asarray(training_columns(named, X, labels("yes", "no", "new"))["y"]).tolist() == ["yes", "no", "new"]
    truth = replace(SIGNATURE, classes=("false", "true"), positive="true")
    assert np.asarray(training_columns(truth, X, labels("true", "false", "1"))["y"]).tolist() == [1.0, 0.0, 1.0]


def test_regression_targets_are_numbers() -> None:
    price = Signature(task=Task.REGRESSION, target="price", columns=SIGNATURE.columns)
    assert np.asarray(training_columns(price, X, labels("1", "2.5", "3"))["price"]).tolist() == [1.0, 2.5, 3.0]


def test_reference_rows_come_first() -> None:
    table = merged({"x": np.array([9.0]), "id": np.array([1.0])}, X)
    assert np.asarray(table["x"]).tolist() == [9.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize("reference", [{}, {"x": labels("text")}])
def test_a_reference_of_another_shape_is_refused(
    reference: dict[str, np.ndarray[tuple[int], np.dtype[np.object_]]],
) -> None:
    with pytest.raises(SchemaMismatch, match="`x`"):
        merged(reference, X)
