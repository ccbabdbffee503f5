from __future__ import annotations

import numpy as np
import pytest

from kilter.errors import SchemaMismatch
from kilter.measures.performance import cbpe

EDGES = np.linspace(0, 1, 101)
MIDDLE = (EDGES[:-1] + EDGES[1:]) / 2


def window(seed: int, n: int = 4_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 2, n)
    bins = np.minimum((p * 100).astype(int), 99)
    counts = np.zeros((100, 2), dtype=np.int64)
    np.add.at(counts, (bins, (p >= 0.5).astype(int)), 1)
    return counts, p, (rng.random(n) < p).astype(float)


def test_calibrated_scores_tell_their_own_accuracy() -> None:
    hits = 0
    for seed in range(20):
        counts, p, y = window(seed)
        reading = cbpe.accuracy(counts, MIDDLE, reference_rows=10_000)
        realised = float(((p >= 0.5) == y).mean())
        hits += (reading.low or 0) - 0.005 <= realised <= (reading.high or 0) + 0.005
    assert hits >= 18


def test_calibrated_scores_tell_their_own_ranking() -> None:
    counts, p, y = window(1)
    reading = cbpe.roc_auc(counts.sum(axis=1), MIDDLE, reference_rows=10_000)
    ranks = np.argsort(np.argsort(p)) + 1
    positives = y.sum()
    realised = (ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (y.size - positives))
    assert (reading.low or 0) <= realised <= (reading.high or 0)


def test_no_rows_and_one_class_give_no_estimate() -> None:
    none = np.zeros(2, dtype=np.int64)
    assert cbpe.accuracy(np.zeros((2, 2), dtype=np.int64), np.ones(2), reference_rows=9).estimate is None
    assert cbpe.roc_auc(none, np.ones(2), reference_rows=9).estimate is None
    assert (cbpe.roc_auc(none + 5, np.ones(2), reference_rows=9).not_evaluated or "").startswith("one_class")


def test_one_row_has_an_estimate_of_its_ranking() -> None:
    reading = cbpe.roc_auc(np.array([1, 0]), np.array([0.5, 0.5]), reference_rows=9)
    assert reading.estimate == 0.5
    assert reading.low == reading.high == 0.5


def test_shapes_are_checked() -> None:
    with pytest.raises(SchemaMismatch):
        cbpe.accuracy(np.zeros((3, 2), dtype=np.int64), np.ones(2), reference_rows=9)
    with pytest.raises(SchemaMismatch):
        cbpe.roc_auc(np.zeros(3, dtype=np.int64), np.ones(2), reference_rows=9)
