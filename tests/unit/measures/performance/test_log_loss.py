"""Log loss punishes being sure and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.reading import Direction
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures.performance.log_loss import log_loss, run
from kilter.testing.cases import bounds, case, case_of


def test_a_hand_computed_loss() -> None:
    assert log_loss(np.array([1.0, 0.0]), np.array([0.8, 0.4])) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


def test_a_stated_zero_costs_at_most_36() -> None:
    assert log_loss(np.array([1.0]), np.array([0.0])) == pytest.approx(36.04, abs=0.01)


def test_one_column_is_the_positive_class() -> None:
    labels, scores = np.array([1.0, 0.0, 0.0]), np.array([0.7, 0.2, 0.6])
    assert log_loss(labels, scores) == log_loss(labels, np.column_stack((1 - scores, scores)))


def test_lengths_must_agree() -> None:
    with pytest.raises(SchemaMismatch, match="differ in length"):
        log_loss(np.array([1.0]), np.array([0.5, 0.5]))
    with pytest.raises(SchemaMismatch, match="empty"):
        log_loss(np.array([]), np.array([]))


def test_the_reading_is_lower_is_better_with_an_interval() -> None:
    (reading,) = run(case_of(Task.BINARY, 500))
    assert reading.direction is Direction.LOWER
    assert reading.interval_method == "t"
    low, estimate, high = bounds(reading)
    assert low < estimate < high
    assert reading.n == 500


def test_rows_without_a_label_are_left_out() -> None:
    inputs = case([1.0, np.nan, 0.0], [0.8, 0.1, 0.4])
    (reading,) = run(inputs)
    assert reading.n == 2
    assert reading.estimate == pytest.approx(log_loss(np.array([1.0, 0.0]), np.array([0.8, 0.4])))
