"""The monitored quantities of one window, each with the e-value of its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from kilter.contracts.signature import Task
from kilter.measures import _binning, _realised
from kilter.measures.performance.loss import row_loss
from kilter.measures.sequential import evalue

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.signature import Signature
    from kilter.contracts.spec import MonitorSpec
    from kilter.measures._profile import CategoricalMap, NumericMap, ReferenceProfile, WindowProfile
    from kilter.measures.rows import FloatArray

__all__ = ["Evidence", "distribution", "outcome", "requests"]

DESIGN = 2.0
"""Design effect assumed until enough windows tell: rows of one window may depend on one another."""

FAILURE_LIMIT = 0.02
"""Share of failed requests that is tolerated: a budget of 1 % and as much again."""

_ALPHA = 0.05
_CUTS = 63
_ATOM_SHARE = 0.02
_LEVEL_SHARE = 0.005
_NULL_TOLERANCE = 0.02
_NEW_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The log e-value of one window for one signal; no Evidence means that nothing could be tested."""

    family: str
    name: str
    log_e: float


def distribution(
    reference: ReferenceProfile, window: WindowProfile, *, tolerance: float = 0.05, design: float = DESIGN
) -> tuple[Evidence, ...]:
    """Evidence that inputs or scores moved away from the reference by more than is tolerated.

    In plain words: does the data still look like the data that the model was accepted on.

    Parameters
    ----------
    reference : ReferenceProfile
        What it looked like.
    window : WindowProfile
        What it looks like now.
    tolerance : float in [0, 1], default 0.05
        Tolerated change of the share of any set of values.
    design : float >= 1, default 2
        Design effect of dependent rows.

    Returns
    -------
    tuple of Evidence
        Families ``feature_drift`` and ``input_health`` (one per column), ``score_drift`` (score, and classes of a
        multiclass model). Empty for a window without rows.

    Raises
    ------
    Nothing
        Profiles of one reference always fit.

    Notes
    -----
    Sets: lower sets at most 63 quantiles apart and single values of share >= 2 % (numbers), single levels of share
    >= 0.5 % and prefixes of the order of level hashes (text). The reference's own uncertainty is in the null
    hypothesis, at 5 % for all columns together. O(cells).

    References
    ----------
    Massart (1990), doi 10.1214/aop/1176990746. Clopper, Pearson (1934), doi 10.1093/biomet/26.4.404.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType, Signature
    >>> from kilter.measures.profile.reference import build
    >>> from kilter.measures.profile.window import profile
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
    >>> reference = build(signature, {"a": np.arange(1000.0)}, np.zeros(1000), None, threshold=0.5, seed=0)
    >>> window = profile({"a": np.full(200, 999.0)}, reference, np.zeros(200), np.zeros(200))
    >>> [(one.family, one.log_e > 20) for one in distribution(reference, window)][0]
    ('feature_drift', True)
    """
    if window.rows == 0:
        return ()
    features = max(1, len(reference.numeric) + len(reference.categorical) + 1)
    found = []
    for item, counts in zip(reference.numeric, window.numeric, strict=True):
        moved = _ordered(_binning.in_order(item.counts), _binning.in_order(counts), features, tolerance, design)
        found += [*_one("feature_drift", item.name, moved), _health(item, counts, features, design)]
    for text, counts in zip(reference.categorical, window.categorical, strict=True):
        moved = _unordered(text, counts, features, tolerance, design)
        found += [*_one("feature_drift", text.name, moved), _health(text, counts, features, design)]
    score = _ordered(reference.score_counts.sum(axis=1), window.score.sum(axis=1), features, tolerance, design)
    found += _one("score_drift", "score", score)
    if reference.task is Task.MULTICLASS:
        singles = _singles(reference.class_counts, window.classes, features, 0.0)
        found += _one("score_drift", "classes", _moved(singles, int(window.classes.sum()), tolerance, design))
    return tuple(found)


def outcome(
    signature: Signature,
    reference: ReferenceProfile,
    scores: FloatArray,
    decided: FloatArray,
    labels: FloatArray,
    *,
    spec: MonitorSpec,
    design: float = DESIGN,
) -> tuple[Evidence, ...]:
    """Evidence that answers became worse, or that stated chances no longer come true.

    In plain words: is the model still as right as it was when it was accepted.

    Parameters
    ----------
    signature : Signature
        Task and classes.
    reference : ReferenceProfile
        Metrics with bounds, groups of the score.
    scores : float64 array of shape (n, classes) or (n,)
        Calibrated answers of labelled rows.
    decided : float64 array of shape (n,)
        Class positions.
    labels : float64 array of shape (n,)
        Class positions or values; none is NaN.
    spec : MonitorSpec
        Tolerances.
    design : float >= 1, default 2
        Design effect of dependent rows.

    Returns
    -------
    tuple of Evidence
        Family ``performance`` (``error``, ``loss``) where the reference has metrics; family ``calibration``: score
        groups and overall, both signs, where there are rows. Empty without rows.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length.

    Notes
    -----
    Null hypotheses: E[loss] <= upper reference bound + max(absolute, relative x reference) (regression: relative only),
    and abs(E[y - p]) <= tolerance, or what the reference itself shows beyond doubt. O(n).

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS B 86, doi 10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.contracts.spec import MonitorSpec
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> truth = np.sin(np.arange(500.0))
    >>> reference = build(signature, {}, np.zeros(500), truth, threshold=0.5, seed=0)
    >>> worse = outcome(signature, reference, np.zeros(500), np.zeros(500), truth * 2, spec=MonitorSpec())
    >>> [one.log_e > 5 for one in worse if one.name == "loss"]
    [True]
    """
    if labels.size == 0:
        return ()
    score = _binning.subject_score(reference.task, reference.positive, scores)
    happened = _binning.subject_outcome(reference.task, reference.positive, decided, labels)
    found = [*_performance(signature, reference, scores, (decided, labels), spec=spec, design=design)]
    gap = np.clip((happened - score) / reference.loss_bound, -1.0, 1.0)
    tolerance = spec.calibration_tolerance
    if reference.task is Task.REGRESSION:
        if "loss" not in reference.metrics:
            return tuple(found)
        tolerance = spec.loss_tolerance_relative * reference.metrics["loss"].value
    n, total, squares = _realised.by_group(reference.group_edges, score, gap)
    for side, sign in enumerate((1.0, -1.0)):
        limits = tolerance + reference.group_gaps[side] / reference.loss_bound
        for group in np.flatnonzero(n).tolist():
            r0, rows = float(limits[group]), float(n[group])
            s1 = sign * float(total[group]) - rows * r0
            s2 = float(squares[group]) - 2 * r0 * sign * float(total[group]) + rows * r0 * r0
            name = "all" if group == n.size - 1 else f"group {group + 1:02d}"
            log_e = evalue.bounded(s1, s2, r0, low=-1.0, design=design)
            found.append(Evidence(family="calibration", name=f"{name} {'above' if sign > 0 else 'below'}", log_e=log_e))
    return tuple(found)


def requests(failures: int, total: int) -> tuple[Evidence, ...]:
    """Evidence that more requests fail than is tolerated.

    In plain words: does the service answer.

    Parameters
    ----------
    failures : int >= 0
        Requests that failed.
    total : int >= failures
        All requests.

    Returns
    -------
    tuple of Evidence
        Family ``operational``; empty without requests.

    Raises
    ------
    Nothing
        Counts always fit.

    Notes
    -----
    Binomial e-value against 2 % (a budget of 1 % and a tolerance of 1 %), tempered by the design effect. O(1).

    References
    ----------
    Ramdas et al. (2023), Statistical Science 38, doi 10.1214/23-STS894.

    Examples
    --------
    >>> requests(30, 100)[0].log_e > 10, requests(0, 0)
    (True, ())
    """
    if total == 0:
        return ()
    log_e = evalue.rate(failures, total, FAILURE_LIMIT, design=DESIGN)
    return (Evidence(family="operational", name="failures", log_e=log_e),)


def _performance(
    signature: Signature,
    reference: ReferenceProfile,
    scores: FloatArray,
    told: tuple[FloatArray, FloatArray],
    *,
    spec: MonitorSpec,
    design: float,
) -> list[Evidence]:
    """Test the wrong answers and the row losses against the reference's upper bounds."""
    decided, labels = told
    found = []
    absolute, relative = spec.loss_tolerance_absolute, spec.loss_tolerance_relative
    accuracy = reference.metrics.get("accuracy_score")
    if accuracy is not None:
        limit = min(0.99, 1 - accuracy.low + max(absolute, relative * (1 - accuracy.value)))
        wrong = int((decided != labels).sum())
        counts = np.array([labels.size - wrong, wrong], dtype=np.int64)
        log_e = evalue.cells(counts, np.array([-limit, 1 - limit]), design=design)
        found.append(Evidence(family="performance", name="error", log_e=log_e))
    loss = reference.metrics.get("loss")
    if loss is not None:
        tolerance = relative * loss.value if reference.task is Task.REGRESSION else max(absolute, relative * loss.value)
        limit = max(loss.high + tolerance, 1e-9)
        above = row_loss(signature, labels, scores, scale=reference.loss_bound) - limit
        log_e = evalue.bounded(float(above.sum()), float(above @ above), limit, design=design)
        found.append(Evidence(family="performance", name="loss", log_e=log_e))
    return found


def _one(family: str, name: str, log_e: float | None) -> list[Evidence]:
    """Return the evidence, or nothing where nothing could be tested."""
    return [] if log_e is None else [Evidence(family=family, name=name, log_e=log_e)]


def _ordered(
    before: NDArray[np.int64], now: NDArray[np.int64], features: int, tolerance: float, design: float
) -> float | None:
    """Test lower sets and frequent single cells of an ordered histogram."""
    m, n = int(before.sum()), int(now.sum())
    if m == 0 or n == 0:
        return None
    cumulative = np.cumsum(before)[:-1]
    targets = np.arange(1, _CUTS + 1) / (_CUTS + 1) * m
    cuts = np.unique(np.minimum(np.searchsorted(cumulative, targets), max(0, cumulative.size - 1)))
    cuts = cuts[cumulative.size > cuts]
    band = math.sqrt(math.log(2 * features / _ALPHA) / (2 * m))
    prefixes = (np.cumsum(now)[cuts].astype(np.float64), cumulative[cuts] / m, np.full(cuts.size, band))
    singles = _singles(before, now, features, _ATOM_SHARE)
    joined = tuple(np.concatenate(pair) for pair in zip(prefixes, singles, strict=True))
    return _moved((joined[0], joined[1], joined[2]), n, tolerance, design)


def _unordered(
    text: CategoricalMap, counts: NDArray[np.int64], features: int, tolerance: float, design: float
) -> float | None:
    """Test frequent levels, and prefixes of an order of levels that the counts did not choose."""
    before, now = text.counts[:-1], counts[:-1]
    m, n = int(before.sum()), int(now.sum())
    if m == 0 or n == 0:
        return None
    order = np.argsort(np.array([_binning.level_hash(level) for level in text.levels], dtype=np.uint64), kind="stable")
    band = math.sqrt(math.log(2 * features / _ALPHA) / (2 * m))
    prefixes = (np.cumsum(now[order]).astype(np.float64), np.cumsum(before[order]) / m, np.full(order.size, band))
    singles = _singles(before, now, features, _LEVEL_SHARE)
    joined = tuple(np.concatenate(pair) for pair in zip(prefixes, singles, strict=True))
    return _moved((joined[0], joined[1], joined[2]), n, tolerance, design)


def _singles(
    before: NDArray[np.int64], now: NDArray[np.int64], features: int, least: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return count, reference share and Clopper-Pearson half-width of the frequent cells."""
    m = max(1, int(before.sum()))
    chosen = np.flatnonzero((before >= least * m) & (before > 0))
    share = before[chosen] / m
    alpha = _ALPHA / (features * max(1, chosen.size))
    upper = _upper(before[chosen], m, alpha / 2)
    lower = 1 - _upper(m - before[chosen], m, alpha / 2)
    return now[chosen].astype(np.float64), share, np.maximum(upper - share, share - lower)


def _upper(k: NDArray[np.int64], m: int, alpha: float) -> FloatArray:
    """Return the upper Clopper-Pearson bounds of k of m."""
    return np.where(k >= m, 1.0, betaincinv(k + 1, np.maximum(m - k, 1), 1 - alpha))


def _moved(chosen: tuple[FloatArray, FloatArray, FloatArray], n: int, tolerance: float, design: float) -> float | None:
    """Return the log e-value of chosen sets, None where the bands leave nothing to test."""
    k, share, band = chosen
    least = np.minimum(share, 1 - share) + band + tolerance
    if n == 0 or not (least + 0.02 < 1).any():
        return None
    return evalue.sets(k, n, share, band, tolerance, design=design)


def _health(item: NumericMap | CategoricalMap, counts: NDArray[np.int64], features: int, design: float) -> Evidence:
    """Test missing cells, and values or levels that the reference never had."""
    m, n = int(item.counts.sum()), int(counts.sum())
    is_text = hasattr(item, "levels")
    missing = -1 if is_text else 0
    fresh = counts[-2] if is_text else counts[1] + counts[2] + counts[3] + counts[-1]
    expected = getattr(item, "once", 0)
    alpha = _ALPHA / (2 * features)
    limits = _upper(np.array([item.counts[missing], expected]), m, alpha)
    terms = np.array(
        [
            evalue.rate(int(counts[missing]), n, float(limits[0]) + _NULL_TOLERANCE),
            evalue.rate(int(fresh), n, float(limits[1]) + _NEW_TOLERANCE),
        ]
    )
    top = float(terms.max())
    log_e = (top + math.log(float(np.exp(terms - top).mean()))) / design
    return Evidence(family="input_health", name=item.name, log_e=log_e)
