from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.measures import comparison
from kilter.measures.profile.reference import build
from kilter.measures.profile.window import profile

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray


COLUMNS = (Column(name="a", type=ColumnType.FLOAT), Column(name="t", type=ColumnType.TEXT))
BINARY = Signature(task=Task.BINARY, target="y", columns=COLUMNS, classes=("no", "yes"), positive="yes")
NUMBER = Signature(task=Task.REGRESSION, target="y", columns=())
MANY = Signature(task=Task.MULTICLASS, target="y", columns=(), classes=("r", "g", "b"))


def rows(n: int, seed: int) -> tuple[dict[str, NDArray[Any]], FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    columns = {"a": rng.normal(0, 1, n), "t": rng.choice(np.array(["x", "y", None], dtype=object), n)}
    p = 1 / (1 + np.exp(-columns["a"]))
    return columns, np.column_stack([1 - p, p]), (rng.random(n) < p).astype(float)


def test_every_column_the_score_and_the_estimate_have_readings() -> None:
    columns, scores, labels = rows(1_000, 0)
    reference = build(BINARY, columns, scores, labels)
    columns, scores, _ = rows(400, 1)
    window = profile(columns, reference, scores, (scores[:, 1] >= 0.5).astype(float))
    found = {(one.metric, one.subject): one for one in comparison.movement(reference, window)}
    assert ("ks", "column:a") in found
    assert ("ks", "column:t") not in found
    for subject in ("column:a", "column:t", "score"):
        assert (found["total_variation", subject].estimate or 0) < 0.1
    for metric in ("missing", "unseen"):
        assert ("column:t" in [subject for name, subject in found if name == metric]) is True
    assert abs((found["accuracy_score", "estimate"].estimate or 0) - 0.7) < 0.1
    assert ("roc_auc_score", "estimate") in found


def test_small_windows_say_so() -> None:
    columns, scores, labels = rows(1_000, 0)
    reference = build(BINARY, columns, scores, labels)
    columns, scores, _ = rows(49, 1)
    window = profile(columns, reference, scores, np.zeros(49))
    (only,) = comparison.movement(reference, window)
    assert only.not_evaluated == "too_few_rows: 49 of 50 rows"


def test_regression_has_no_estimator_and_says_so() -> None:
    reference = build(NUMBER, {}, np.arange(60.0), np.arange(60.0))
    window = profile({}, reference, np.arange(60.0), np.arange(60.0))
    assert (comparison.movement(reference, window)[-1].not_evaluated or "").startswith("no_estimator")


def test_a_reference_without_labels_has_no_estimate() -> None:
    columns, scores, _ = rows(100, 0)
    reference = build(BINARY, columns, scores, None)
    window = profile(columns, reference, scores, np.zeros(100))
    assert (comparison.movement(reference, window)[-1].not_evaluated or "").startswith("no_reference_labels")


def test_many_class_models_have_an_estimate_of_accuracy_only() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random((600, 3))
    scores = raw / raw.sum(axis=1, keepdims=True)
    called = np.argmax(scores, axis=1).astype(float)
    reference = build(MANY, {}, scores, called)
    estimates = [
        one.metric
        for one in comparison.movement(reference, profile({}, reference, scores, called))
        if one.subject == "estimate"
    ]
    assert estimates == ["accuracy_score"]


def test_realised_metrics_are_those_of_the_gates() -> None:
    _, scores, labels = rows(400, 0)
    found = comparison.realised(BINARY, scores, labels, threshold=0.5)
    assert [one.metric for one in found] == [
        "accuracy_score",
        "roc_auc_score",
        "brier_score_loss",
        "log_loss",
        comparison.CALIBRATION,
    ]
    assert (found[-1].estimate or 0) < 0.1
    sure = np.column_stack([1 - labels, labels])[:, ::-1]
    assert (comparison.realised(BINARY, sure, labels, threshold=0.5)[-1].estimate or 0) > 0.9


def test_few_labels_say_so() -> None:
    labels = np.full(400, np.nan)
    labels[:29] = 1
    _, scores, _ = rows(400, 0)
    (only,) = comparison.realised(BINARY, scores, labels, threshold=0.5)
    assert only.not_evaluated == "too_few_labels: 29 of 30 labels"
    (only,) = comparison.realised(NUMBER, np.zeros(5), np.zeros(5), threshold=0.5)
    assert only.metric == "mean_absolute_error"


def test_scores_that_cannot_be_measured_are_readings_with_a_reason() -> None:
    _, scores, labels = rows(400, 0)
    scores[3] = np.nan
    found = comparison.realised(BINARY, scores, labels, threshold=0.5)
    assert all(one.not_evaluated for one in found)


def test_requests_have_a_rate() -> None:
    (reading,) = comparison.request_readings(2, 50)
    assert reading.estimate == 0.04
    assert (comparison.request_readings(0, 0)[0].not_evaluated or "").startswith("no_data")


def test_the_ranking_of_merged_counts_is_that_of_all_rows() -> None:
    columns, scores, labels = rows(2_000, 0)
    reference = build(BINARY, columns, scores, labels)
    window = profile(columns, reference, scores, (scores[:, 1] >= 0.5).astype(float), labels)
    found = comparison.ranking(reference, window)
    exact = next(
        one for one in comparison.realised(BINARY, scores, labels, threshold=0.5) if one.metric == found.metric
    )
    for name in ("estimate", "low", "high"):
        assert abs(getattr(found, name) - getattr(exact, name)) < 2e-3
    assert comparison.ranking(reference, profile(columns, reference, scores, labels)).estimate is None
