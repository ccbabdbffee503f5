"""Explained variance is judged against the mean."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.performance.r2_score import influence, r2_score, run
from kilter.testing.cases import REGRESSION, case


def test_the_mean_explains_nothing() -> None:
    assert r2_score(np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)) == 0.0


def test_equal_labels_have_no_variance() -> None:
    with pytest.raises(SchemaMismatch, match="no variance"):
        r2_score(np.ones(3), np.array([1.0, 2.0, 3.0]))
    (reading,) = run(case([1.0, 1.0], [1.0, 2.0], signature=REGRESSION))
    assert (reading.not_evaluated or "").startswith("constant")


def test_the_influence_is_the_derivative() -> None:
    labels, predictions = np.array([1.0, 2.0, 4.0, 7.0]), np.array([1.5, 2.0, 3.0, 8.0])
    found = influence(case(labels, predictions, signature=REGRESSION))
    assert not isinstance(found, str)
    weight = 1e-6
    for row in range(4):
        w = np.ones(4)
        w[row] += weight
        mean = np.average(labels, weights=w)
        moved = 1 - np.sum(w * (labels - predictions) ** 2) / np.sum(w * (labels - mean) ** 2)
        assert (moved - found.estimate) / weight * 4 == pytest.approx(found.psi[row], abs=1e-4)
