"""Large errors weigh more."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.measures.performance.root_mean_squared_error import root_mean_squared_error, run
from kilter.testing.cases import REGRESSION, case


def test_a_hand_computed_error() -> None:
    assert root_mean_squared_error(np.array([0.0, 0.0]), np.array([3.0, 4.0])) == pytest.approx(np.sqrt(12.5))


def test_a_perfect_model_has_an_interval_of_no_width() -> None:
    (reading,) = run(case([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], signature=REGRESSION))
    assert (reading.low, reading.estimate, reading.high) == (0.0, 0.0, 0.0)


def test_the_reading_is_the_kernel_of_the_rows() -> None:
    (reading,) = run(case([0.0, 0.0], [3.0, 4.0], signature=REGRESSION))
    assert reading.estimate == pytest.approx(np.sqrt(12.5))


def test_numbers_beyond_squaring_are_refused() -> None:
    (reading,) = run(case([0.0, 0.0], [3.0, 1e200], signature=REGRESSION))
    assert (reading.not_evaluated or "").startswith("unsupported_type")
