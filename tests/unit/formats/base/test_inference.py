from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from kilter.contracts.signature import ColumnType, Task
from kilter.errors import FormatError, SchemaMismatch, UnknownName
from kilter.formats.base.feeding import NativeModel
from kilter.formats.base.inference import classes_of, estimator_signature, fit_missing, input_columns, sample_rows
from kilter.formats.base.reference import read_reference
from kilter.testing.estimators import Untyped, make_request

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=90), RNG.normal(size=90)
Y = (A + B > 0.8).astype(int)
TABLE = pa.table({"row": list(range(90)), "a": A, "b": B, "y": Y})
REFERENCE = read_reference(make_request(TABLE, "y").arrow_ipc)
FITTED = LogisticRegression().fit(np.stack((A, B), axis=1), Y)


def test_a_nameless_model_takes_the_columns_in_order_without_ignored_ones() -> None:
    signature = estimator_signature(FITTED, REFERENCE, make_request(TABLE, "y", ignored=("row",)))
    assert [column.name for column in signature.columns] == ["a", "b"]
    assert (signature.task, signature.classes, signature.positive) == (Task.BINARY, ("0", "1"), "1")


def test_ignored_columns_are_used_if_the_width_asks_for_them() -> None:
    assert input_columns(REFERENCE, make_request(TABLE, "y", ignored=("row",)), (), 3) == ("row", "a", "b")
    assert input_columns(REFERENCE, make_request(TABLE, "y"), (), None) == ("row", "a", "b")


def test_another_number_of_columns_is_a_mismatch_that_names_them() -> None:
    with pytest.raises(SchemaMismatch, match="takes 2 columns, the reference table has 3") as caught:
        estimator_signature(FITTED, REFERENCE, make_request(TABLE, "y"))
    assert "`row`" in caught.value.message


def test_missing_names_are_listed() -> None:
    with pytest.raises(SchemaMismatch, match="`c`"):
        input_columns(REFERENCE, make_request(TABLE, "y"), ("a", "c"), 2)


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        input_columns(REFERENCE, make_request(TABLE, "yy"), ("a",), 1)
    assert "`y`" in str(caught.value.hint)


def test_a_classifier_without_probabilities_is_told_the_way_out() -> None:
    model = LinearSVC().fit(np.stack((A, B), axis=1), Y)
    with pytest.raises(FormatError, match="no probabilities") as caught:
        estimator_signature(model, REFERENCE, make_request(TABLE, "y", ignored=("row",)))
    assert "CalibratedClassifierCV" in str(caught.value.hint)


def test_several_outputs_at_once_are_refused() -> None:
    model = DecisionTreeClassifier().fit(np.stack((A, B), axis=1), np.stack((Y, 1 - Y), axis=1))
    with pytest.raises(FormatError, match="several outputs"):
        estimator_signature(model, REFERENCE, make_request(TABLE, "y", ignored=("row",)))


def test_a_regression_has_no_classes() -> None:
    model = LinearRegression().fit(np.stack((A, B), axis=1), A)
    signature = estimator_signature(model, REFERENCE, make_request(TABLE, "y", ignored=("row",)))
    assert (signature.task, signature.classes, signature.positive) == (Task.REGRESSION, (), "")


def test_the_task_asked_for_must_be_that_of_the_model() -> None:
    with pytest.raises(SchemaMismatch, match="is for binary"):
        estimator_signature(FITTED, REFERENCE, make_request(TABLE, "y", ignored=("row",), task="regression"))


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["yes"] * 10 + ["no"] * 80, "yes"),
        (["yes"] * 80 + ["no"] * 10, "no"),
        (["yes"] * 45 + ["no"] * 45, "yes"),
        ([None] * 45 + ["no"] * 45, "yes"),
    ],
)
def test_the_rarer_class_is_positive(labels: list[Untyped], positive: str) -> None:
    table = pa.table({"a": A, "b": B, "y": labels})
    model = LogisticRegression().fit(np.stack((A, B), axis=1), np.where(Y == 1, "yes", "no"))
    request = make_request(table, "y")
    assert estimator_signature(model, read_reference(request.arrow_ipc), request).positive == positive


def test_booleans_in_the_table_count_for_classes_of_numbers() -> None:
    table = pa.table({"a": A, "b": B, "y": pa.array([True] * 80 + [False] * 9 + [None])})
    request = make_request(table, "y")
    assert estimator_signature(FITTED, read_reference(request.arrow_ipc), request).positive == "0"


def test_a_positive_class_that_the_model_lacks_is_unknown() -> None:
    with pytest.raises(UnknownName, match="class `maybe`"):
        estimator_signature(FITTED, REFERENCE, make_request(TABLE, "y", ignored=("row",), positive="maybe"))


def test_without_a_target_the_last_class_is_positive() -> None:
    table = pa.table({"a": A, "b": B})
    request = make_request(table, "")
    assert estimator_signature(FITTED, read_reference(request.arrow_ipc), request).positive == "1"


def test_a_target_with_none_of_the_classes_is_a_mismatch() -> None:
    with pytest.raises(SchemaMismatch, match="none of the model's classes"):
        estimator_signature(
            LogisticRegression().fit(np.stack((A, B), axis=1), Y + 500), REFERENCE,
            make_request(TABLE, "y", ignored=("row",)),
        )  # fmt: skip


def test_classes_of_numbers_are_in_order_of_value() -> None:
    table = pa.table({"n": [10.0, 9.0, None, 10.0], "t": ["b", "a", None, "b"]})
    reference = read_reference(make_request(table, "n").arrow_ipc)
    assert classes_of(reference, "n") == ("9", "10")
    assert classes_of(reference, "t") == ("a", "b")


def with_gap() -> Untyped:
    gaps = A.copy()
    gaps[::5] = np.nan
    return pa.table({"a": gaps, "b": B, "y": Y})


def test_gaps_are_nullable_only_where_the_model_answers_them() -> None:
    request = make_request(with_gap(), "y")
    reference = read_reference(request.arrow_ipc)
    tree = DecisionTreeClassifier().fit(np.stack((A, B), axis=1), Y)
    for model, nullable, rows in ((FITTED, False, 72), (tree, True, 90)):
        signature = estimator_signature(model, reference, request)
        assert signature.columns[0].nullable
        fitted, batch = fit_missing(signature, partial(NativeModel, model), sample_rows(reference, signature))
        assert (fitted.columns[0].nullable, fitted.columns[1].nullable, batch.rows) == (nullable, False, rows)


def test_a_model_that_answers_no_row_does_not_fit() -> None:
    table = pa.table({"a": ["x"] * 90, "b": B, "y": Y})
    request = make_request(table, "y")
    reference = read_reference(request.arrow_ipc)
    signature = estimator_signature(FITTED, reference, request)
    assert signature.columns[0].type is ColumnType.TEXT
    with pytest.raises(SchemaMismatch, match="cannot score"):
        fit_missing(signature, lambda wanted: NativeModel(FITTED, wanted), sample_rows(reference, signature))


def test_a_model_that_takes_no_gaps_and_sees_nothing_else_does_not_fit() -> None:
    table = pa.table({"a": pa.array([None] * 90, pa.float64()), "b": B, "y": Y})
    request = make_request(table, "y")
    reference = read_reference(request.arrow_ipc)
    signature = estimator_signature(FITTED, reference, request)
    with pytest.raises(SchemaMismatch):
        fit_missing(signature, lambda wanted: NativeModel(FITTED, wanted), sample_rows(reference, signature))
