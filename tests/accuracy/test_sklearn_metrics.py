"""Metrics agree with scikit-learn to 1e-10 on random cases with ties and rare classes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn import metrics as theirs

from kilter.measures.performance import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = 100
CLOSE = pytest.approx


def cases(seed: int) -> list[tuple[np.random.Generator, int]]:
    rng = np.random.default_rng(seed)
    return [(rng, int(rng.integers(4, 120))) for _ in range(CASES)]


def both_classes(rng: np.random.Generator, n: int) -> np.ndarray:
    labels = (rng.uniform(size=n) < rng.uniform(0.05, 0.95)).astype(float)
    labels[:2] = 0.0, 1.0
    return labels


def tied(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.round(rng.uniform(size=n), int(rng.integers(1, 6)))


def test_ranking_and_probabilities_of_two_classes() -> None:
    for rng, n in cases(1):
        labels, scores = both_classes(rng, n), tied(rng, n)
        assert roc_auc_score.roc_auc_score(labels, scores) == CLOSE(theirs.roc_auc_score(labels, scores), abs=1e-10)
        assert log_loss.log_loss(labels, scores) == CLOSE(theirs.log_loss(labels, scores), abs=1e-10)
        expected = theirs.brier_score_loss(labels, scores)
        assert brier_score_loss.brier_score_loss(labels, scores) == CLOSE(expected, abs=1e-10)


def test_ranking_and_probabilities_of_several_classes() -> None:
    for rng, n in cases(2):
        k = int(rng.integers(3, 6))
        labels = np.concatenate((np.arange(k), rng.integers(0, k, n))).astype(float)
        scores = np.round(rng.dirichlet(np.ones(k), labels.size), 2) + 1e-3
        scores /= scores.sum(axis=1, keepdims=True)
        expected = theirs.roc_auc_score(labels, scores, multi_class="ovr")
        assert roc_auc_score.roc_auc_score(labels, scores) == CLOSE(expected, abs=1e-10)
        assert log_loss.log_loss(labels, scores) == CLOSE(theirs.log_loss(labels, scores), abs=1e-10)
        expected = theirs.brier_score_loss(labels, scores, labels=np.arange(k))
        assert brier_score_loss.brier_score_loss(labels, scores) == CLOSE(expected, abs=1e-10)


def test_decisions() -> None:
    for rng, n in cases(3):
        k = int(rng.integers(2, 6))
        every = np.arange(k).astype(float)
        labels = np.concatenate((every, rng.integers(0, k, n))).astype(float)
        called = np.concatenate((every, rng.integers(0, k, n))).astype(float)
        pairs: list[tuple[Callable[..., float], Callable[..., float]]] = [
            (accuracy_score.accuracy_score, theirs.accuracy_score),
            (balanced_accuracy_score.balanced_accuracy_score, theirs.balanced_accuracy_score),
        ]
        for ours, reference in (
            (precision_score.precision_score, theirs.precision_score),
            (recall_score.recall_score, theirs.recall_score),
            (f1_score.f1_score, theirs.f1_score),
        ):
            pairs.append((partial(ours, classes=k), partial(reference, average="macro")))
            if k == 2:
                pairs.append((ours, reference))
        for one, other in pairs:
            assert one(labels, called) == CLOSE(other(labels, called), abs=1e-10)


def test_errors_of_numbers() -> None:
    for rng, n in cases(4):
        labels, predictions = np.round(rng.normal(5, 3, n), 1), np.round(rng.normal(5, 3, n), 1)
        labels[0] += 1
        for ours, reference in (
            (mean_absolute_error.mean_absolute_error, theirs.mean_absolute_error),
            (root_mean_squared_error.root_mean_squared_error, theirs.root_mean_squared_error),
            (r2_score.r2_score, theirs.r2_score),
        ):
            assert ours(labels, predictions) == CLOSE(reference(labels, predictions), abs=1e-10)
