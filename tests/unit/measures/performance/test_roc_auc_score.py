"""The area under the curve counts pairs in the right order."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures.performance.roc_auc_score import influence, roc_auc_score, run
from kilter.testing.cases import MULTICLASS, bounds, case, case_of


def test_ties_count_half() -> None:
    assert roc_auc_score(np.array([0.0, 1.0]), np.array([0.5, 0.5])) == 0.5
    assert roc_auc_score(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9])) == 0.75


def test_influence_values_sum_to_zero() -> None:
    found = influence(case_of(Task.BINARY, 200))
    assert not isinstance(found, str)
    assert found.psi.sum() == pytest.approx(0.0, abs=1e-9)


def test_a_class_without_rows_is_refused() -> None:
    with pytest.raises(SchemaMismatch):
        roc_auc_score(np.ones(3), np.array([0.1, 0.2, 0.3]))
    (reading,) = run(case([1.0, 1.0], [0.4, 0.6]))
    assert (reading.not_evaluated or "").startswith("one_class: no row of class `no`")


def test_one_of_several_classes_without_rows_is_too_few() -> None:
    inputs = case([0.0, 1.0, 1.0], np.full((3, 3), 1 / 3), signature=MULTICLASS)
    (reading,) = run(inputs)
    assert (reading.not_evaluated or "").startswith("too_few_rows: no row of class `c`")
    assert reading.metric == "roc_auc_score[multi_class=ovr]"


def test_a_perfect_ranking_keeps_the_doubt_of_few_rows() -> None:
    (reading,) = run(case([0.0, 0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.8, 0.9]))
    assert reading.estimate == 1.0
    assert reading.interval_method == "wilson"
    assert bounds(reading)[0] < 0.5
