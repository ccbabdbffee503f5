"""The Brier score is squared distance, halved for two classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kilter.contracts.signature import Task
from kilter.measures.performance.brier_score_loss import brier_score_loss, run
from kilter.testing.cases import BINARY, case, case_of


def test_a_hand_computed_score() -> None:
    assert brier_score_loss(np.array([1.0, 0.0]), np.array([0.8, 0.4])) == pytest.approx((0.04 + 0.16) / 2)


def test_several_classes_are_not_halved_unless_asked() -> None:
    labels, scores = np.array([0.0, 2.0]), np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    whole = (0.25 + 0.09 + 0.04 + 0.01 + 0.01 + 0.04) / 2
    assert brier_score_loss(labels, scores) == pytest.approx(whole)
    assert brier_score_loss(labels, scores, scale_by_half=True) == pytest.approx(whole / 2)


@pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS])
def test_the_reading_is_the_kernel_of_the_rows(task: Task) -> None:
    inputs = case_of(task, 300)
    (reading,) = run(inputs)
    assert reading.estimate == pytest.approx(brier_score_loss(np.asarray(inputs.labels), np.asarray(inputs.scores)))


def test_the_positive_class_may_come_first() -> None:
    swapped = replace(BINARY, classes=("yes", "no"))
    (reading,) = run(case([0.0, 1.0], [[0.8, 0.2], [0.4, 0.6]], signature=swapped))
    assert reading.estimate == pytest.approx((0.04 + 0.16) / 2)
