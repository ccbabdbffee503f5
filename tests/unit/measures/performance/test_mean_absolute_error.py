"""Absolute errors are averaged."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.measures.performance.mean_absolute_error import mean_absolute_error, run
from kilter.testing.cases import REGRESSION, case


def test_a_hand_computed_error() -> None:
    assert mean_absolute_error(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 1.5


def test_the_reading_is_the_kernel_of_the_rows() -> None:
    (reading,) = run(case([1.0, 2.0, 3.0], [2.0, 4.0, 3.0], signature=REGRESSION))
    assert reading.estimate == pytest.approx(1.0)


def test_classes_have_no_absolute_error() -> None:
    assert (run(case([1.0, 0.0], [0.5, 0.5]))[0].not_evaluated or "").startswith("wrong_task")
