"""The curve shows shares with their doubt."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.signature import Task
from kilter.measures.calibration.reliability_curve import reliability_curve, run
from kilter.testing.cases import case_of


def test_points_are_in_order_and_hold_all_rows() -> None:
    inputs = case_of(Task.BINARY, 1_000)
    readings = run(inputs)
    assert len(readings) == 15
    assert sum(reading.n for reading in readings) == 1_000
    scores = [float(reading.extra["score"] or 0.0) for reading in readings]
    assert scores == sorted(scores)
    assert readings[0].subject == "bin:01"


def test_equal_scores_are_one_point() -> None:
    (point,) = reliability_curve(np.array([0.0, 1.0, 1.0, 1.0]), np.full(4, 0.7))
    assert point.score == pytest.approx(0.7)
    assert (point.share, point.n) == (0.75, 4)
    assert point.low < 0.75 < point.high


def test_numbers_have_no_curve() -> None:
    (reading,) = run(case_of(Task.REGRESSION, 10))
    assert (reading.not_evaluated or "").startswith("wrong_task")
