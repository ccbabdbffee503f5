"""Row losses are bounded, and unknown where the label is."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.performance.loss import row_loss
from kilter.testing.cases import BINARY, MULTICLASS, REGRESSION


def test_two_classes_lose_squared_distance() -> None:
    loss = row_loss(BINARY, np.array([1.0, 0.0, np.nan]), np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]]))
    assert loss[:2] == pytest.approx([0.04, 0.0])
    assert np.isnan(loss[2])


def test_several_classes_lose_at_most_one() -> None:
    loss = row_loss(MULTICLASS, np.array([0.0, 1.0]), np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert loss.tolist() == [1.0, 0.0]


def test_numbers_lose_their_error_up_to_the_scale() -> None:
    loss = row_loss(REGRESSION, np.array([0.0, 0.0, np.nan]), np.array([1.0, 9.0, 1.0]), scale=4.0)
    assert loss[:2].tolist() == [0.25, 1.0]
    assert np.isnan(loss[2])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_the_scale_is_positive(scale: float) -> None:
    with pytest.raises(SchemaMismatch, match="positive"):
        row_loss(REGRESSION, np.zeros(1), np.zeros(1), scale=scale)
