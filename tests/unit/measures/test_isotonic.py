"""The rising sequence is the one that scipy finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from kilter.measures.isotonic import isotonic


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=50).round(1), rng.integers(1, 9, size=50).astype(np.float64)
    np.testing.assert_allclose(isotonic(values, weights), isotonic_regression(values, weights=weights).x, atol=1e-12)


def test_nothing_gives_nothing() -> None:
    assert isotonic(np.empty(0), np.empty(0)).size == 0
