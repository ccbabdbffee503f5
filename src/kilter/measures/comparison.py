"""What a window shows beside its reference, as readings for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.check import CheckInputs
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.measures import _binning, _realised
from kilter.measures.drift import jensen_shannon, ks, missing, population_stability_index, total_variation
from kilter.measures.interval import wilson_interval
from kilter.measures.performance import cbpe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.signature import Signature
    from kilter.measures._profile import ReferenceProfile, WindowProfile
    from kilter.measures.rows import FloatArray

__all__ = ["CALIBRATION", "LEAST_LABELS", "LEAST_ROWS", "movement", "ranking", "realised", "request_readings"]

CALIBRATION = _realised.CALIBRATION
"""Name of the reading that says how far stated chances are from what happens."""

LEAST_ROWS = 50
"""Below this a window's distances are too wide to show."""

LEAST_LABELS = 30
"""Below this a realised metric is too wide to show."""


def movement(reference: ReferenceProfile, window: WindowProfile) -> tuple[Reading, ...]:
    """Distances of inputs and scores to the reference, and the performance to be expected without labels.

    In plain words: what has moved, by how much, and what that would mean if chances still come true.

    Parameters
    ----------
    reference : ReferenceProfile
        What it looked like.
    window : WindowProfile
        What it looks like now.

    Returns
    -------
    tuple of Reading, direction "lower" (distances) or "higher" (estimates)
        Subjects ``column:<name>``, ``score``, ``estimate``. Below 50 rows one reading that says so.

    Raises
    ------
    Nothing
        Profiles of one reference always fit.

    Notes
    -----
    Numbers: KS, total variation, PSI, Jensen-Shannon; text: all but KS. Both: ``missing`` and ``unseen`` (share of
    cells outside the reference's range or levels). O(cells).

    References
    ----------
    See the modules of ``measures.drift`` and ``measures.performance.cbpe``.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType, Signature
    >>> from kilter.measures.profile.reference import build
    >>> from kilter.measures.profile.window import profile
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
    >>> reference = build(signature, {"a": np.arange(1000.0)}, np.zeros(1000), None, threshold=0.5, seed=0)
    >>> window = profile({"a": np.full(200, 999.0)}, reference, np.zeros(200), np.zeros(200))
    >>> [(one.metric, one.subject) for one in movement(reference, window)][0]
    ('ks', 'column:a')
    """
    if window.rows < LEAST_ROWS:
        reason = f"too_few_rows: {window.rows} of {LEAST_ROWS} rows"
        return (Reading(metric="total_variation", subject="score", direction=Direction.LOWER, not_evaluated=reason),)
    found: list[Reading] = []
    for item, counts in zip(reference.numeric, window.numeric, strict=True):
        subject = f"column:{item.name}"
        p, q = _binning.in_order(item.counts), _binning.in_order(counts)
        found += [ks.measure(p, q, subject=subject), *_distances(p, q, subject)]
        found.append(missing.measure(_split(item.counts, 0), _split(counts, 0), subject=subject))
        found.append(_unseen(int(counts[1] + counts[2] + counts[3] + counts[-1]), int(counts.sum()), subject))
    for text, counts in zip(reference.categorical, window.categorical, strict=True):
        subject = f"column:{text.name}"
        found += _distances(text.counts[:-1], counts[:-1], subject)
        last = counts.size - 1
        found.append(missing.measure(_split(text.counts, last), _split(counts, last), subject=subject))
        found.append(_unseen(int(counts[-2]), int(counts.sum()), subject))
    found += _distances(reference.score_counts.sum(axis=1), window.score.sum(axis=1), "score")
    return (*found, *_estimates(reference, window))


def realised(
    signature: Signature, scores: FloatArray, labels: FloatArray, *, threshold: float, seed: int = 0
) -> tuple[Reading, ...]:
    """Metrics of the rows whose label has arrived.

    In plain words: how good the answers really were.

    Parameters
    ----------
    signature : Signature
        Task and classes.
    scores : float64 array of shape (n, classes) or (n,)
        Calibrated answers.
    labels : float64 array of shape (n,)
        Class positions or values, NaN where unknown.
    threshold : float in [0, 1]
        Turns a binary score into a decision.
    seed : int, default 0
        Of resampled intervals.

    Returns
    -------
    tuple of Reading
        The same measures as the gates use, each with its own direction. Below 30 labels one reading that says so.

    Raises
    ------
    Nothing
        What cannot be measured is a reading with its reason.

    Notes
    -----
    See the measures named in the readings.

    References
    ----------
    See the modules of ``measures.performance``.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> [one.metric for one in realised(signature, np.zeros(40), np.arange(40.0), threshold=0.5)]
    ['mean_absolute_error', 'mean_bias_error']
    """
    n = int(np.isfinite(labels).sum())
    if n < LEAST_LABELS:
        is_number = signature.task is Task.REGRESSION
        return (
            Reading(
                metric="mean_absolute_error" if is_number else "accuracy_score",
                direction=Direction.LOWER if is_number else Direction.HIGHER,
                n=n,
                not_evaluated=f"too_few_labels: {n} of {LEAST_LABELS} labels",
            ),
        )
    inputs = CheckInputs(signature=signature, threshold=threshold, labels=labels, scores=scores, seed=seed)
    return _realised.readings(inputs)


def ranking(reference: ReferenceProfile, window: WindowProfile) -> Reading:
    """Area under the curve of labelled rows, from counts: of one window, or of many merged.

    In plain words: how well the model still tells yes from no, over as many rows as there are labels.

    Parameters
    ----------
    reference : ReferenceProfile
        Gives the task.
    window : WindowProfile
        With labels; merge several for a longer range: the mean of their areas is another number.

    Returns
    -------
    Reading, direction "higher"
        ``roc_auc_score`` of a binary model in [0, 1]; not evaluated for other tasks or without both classes.

    Raises
    ------
    Nothing
        What cannot be measured is a reading with its reason.

    Notes
    -----
    Rows of one score bin are ties and count half; there are up to 1,024 bins. DeLong's variance, normal interval.
    O(bins).

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44, doi 10.2307/2531595.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> from kilter.measures.profile.window import profile
    >>> signature = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
    >>> p, y = np.tile([0.2, 0.8], 50), np.tile([0.0, 1.0], 50)
    >>> scores = np.column_stack([1 - p, p])
    >>> reference = build(signature, {}, scores, y, threshold=0.5, seed=0)
    >>> ranking(reference, profile({}, reference, scores, y, y)).estimate
    1.0
    """
    negative = (window.outcome[:, 0] + window.outcome[:, 2]).astype(np.float64)
    positive = (window.outcome[:, 1] + window.outcome[:, 3]).astype(np.float64)
    m, n = float(positive.sum()), float(negative.sum())
    if reference.task is not Task.BINARY or m < 2 or n < 2:
        reason = "one_class: needs a binary model, and two labels of each class"
        return Reading(metric="roc_auc_score", direction=Direction.HIGHER, not_evaluated=reason)
    above = (np.cumsum(negative) - negative / 2) / n
    below = 1 - (np.cumsum(positive) - positive / 2) / m
    area = float(positive @ above) / m
    variance = float(positive @ (above - area) ** 2) / m / (m - 1) + float(negative @ (below - area) ** 2) / n / (n - 1)
    half = 1.96 * float(np.sqrt(variance))
    return Reading(
        metric="roc_auc_score",
        estimate=area,
        low=max(0.0, area - half),
        high=min(1.0, area + half),
        interval_method="delong",
        n=int(m + n),
        direction=Direction.HIGHER,
    )


def request_readings(failures: int, total: int) -> tuple[Reading, ...]:
    """Share of requests that failed.

    In plain words: how many of 100 requests got no answer.

    Parameters
    ----------
    failures : int >= 0
        Requests that failed.
    total : int >= failures
        All requests.

    Returns
    -------
    tuple of Reading, direction "lower"
        Metric ``error_rate``, subject ``requests``, Wilson interval; not evaluated without requests.

    Raises
    ------
    Nothing
        Counts always fit.

    Notes
    -----
    O(1).

    References
    ----------
    Wilson (1927), JASA 22, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> request_readings(5, 100)[0].estimate
    0.05
    """
    if total == 0:
        reason = "no_data: no requests in the window"
        return (Reading(metric="error_rate", subject="requests", direction=Direction.LOWER, not_evaluated=reason),)
    low, high = wilson_interval(failures, total)
    return (
        Reading(
            metric="error_rate",
            subject="requests",
            estimate=failures / total,
            low=low,
            high=high,
            interval_method="wilson",
            n=total,
            direction=Direction.LOWER,
        ),
    )


def _unseen(fresh: int, n: int, subject: str) -> Reading:
    """Return the share of cells with a value outside the reference's range, or a level that it never had."""
    low, high = wilson_interval(fresh, n)
    return Reading(
        metric="unseen",
        subject=subject,
        estimate=fresh / n,
        low=low,
        high=high,
        interval_method="wilson",
        n=n,
        direction=Direction.LOWER,
    )


def _split(counts: NDArray[np.int64], cell: int) -> NDArray[np.int64]:
    """Return rows present and missing."""
    return np.array([counts.sum() - counts[cell], counts[cell]], dtype=np.int64)


def _distances(p: NDArray[np.int64], q: NDArray[np.int64], subject: str) -> list[Reading]:
    """Measure the three distances that need no order."""
    return [
        total_variation.measure(p, q, subject=subject),
        population_stability_index.measure(p, q, subject=subject),
        jensen_shannon.measure(p, q, subject=subject),
    ]


def _estimates(reference: ReferenceProfile, window: WindowProfile) -> tuple[Reading, ...]:
    """Estimate performance without labels where the reference has labels, and the task an estimator."""
    if reference.task is Task.REGRESSION:
        reason = "no_estimator: there is none for regression yet"
        metric = "mean_absolute_error"
        return (Reading(metric=metric, subject="estimate", direction=Direction.LOWER, not_evaluated=reason),)
    if "accuracy_score" not in reference.metrics:
        reason = "no_reference_labels: the reference has too few labels"
        metric = "accuracy_score"
        return (Reading(metric=metric, subject="estimate", direction=Direction.HIGHER, not_evaluated=reason),)
    rows = reference.labelled
    found = (cbpe.accuracy(window.score, reference.calibrator, reference_rows=rows),)
    if reference.task is Task.BINARY:
        return (*found, cbpe.roc_auc(window.score.sum(axis=1), reference.calibrator, reference_rows=rows))
    return found
