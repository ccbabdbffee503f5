"""The dummy is the best constant."""

from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.performance.dummy import dummy_scores
from kilter.testing.cases import MULTICLASS, REGRESSION


def test_classes_get_their_shares() -> None:
    scores = dummy_scores(MULTICLASS, np.array([0.0, 1.0, 1.0, np.nan, 1.0]))
    assert scores.shape == (5, 3)
    assert scores[3].tolist() == [0.25, 0.75, 0.0]


def test_numbers_get_the_constant_that_is_best_for_the_metric() -> None:
    labels = np.array([1.0, 2.0, 9.0])
    assert dummy_scores(REGRESSION, labels, metric="root_mean_squared_error").tolist() == [4.0] * 3
    assert dummy_scores(REGRESSION, labels, metric="mean_absolute_error").tolist() == [2.0] * 3


def test_without_labels_there_is_no_dummy() -> None:
    with pytest.raises(SchemaMismatch, match="no row has a label"):
        dummy_scores(REGRESSION, np.array([np.nan]))
