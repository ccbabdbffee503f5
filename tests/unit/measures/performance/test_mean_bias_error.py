"""The bias says in which direction predictions are off."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.contracts.reading import Direction
from kilter.measures.performance.mean_bias_error import mean_bias_error, run
from kilter.testing.cases import REGRESSION, case


def test_a_hand_computed_bias() -> None:
    assert mean_bias_error(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 1.5
    assert mean_bias_error(np.array([1.0, 2.0]), np.array([0.0, 3.0])) == 0.0


def test_its_target_is_zero() -> None:
    (reading,) = run(case([1.0, 2.0, 3.0], [2.0, 4.0, 3.0], signature=REGRESSION))
    assert reading.direction is Direction.TARGET
    assert reading.estimate == pytest.approx(1.0)
    assert run(case([1.0, 0.0], [0.5, 0.5]))[0].estimate is None
