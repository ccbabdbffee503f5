"""Expected calibration error, raw or without what chance adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from scipy.special import ndtri

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.measures._kernel import CLASSIFIERS, require_same_rows, stated_truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "debiased_calibration_error", "expected_calibration_error", "run"]

Strategy: TypeAlias = Literal["uniform", "quantile"]

CHECK: Final = CheckSpec(
    id="expected_calibration_error",
    title="Gap between stated probability and observed frequency",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.LOWER,
    unit_range=True,
)

_BINS: Final = 15
_NULL_DRAWS: Final = 200
_RESAMPLES: Final = 400
_EXACT_ROWS: Final = 20_000
_CELLS: Final = 1_024


def expected_calibration_error(
    labels: FloatArray,
    scores: FloatArray,
    *,
    bins: int = 15,
    strategy: Strategy = "uniform",
    weights: FloatArray | None = None,
) -> float:
    """Mean gap between stated probability and observed frequency, over bins of the score.

    In plain words: when the model says "70 %", how far is the truth from 70 of 100, on average.

    Parameters
    ----------
    labels : float array of shape (n,), 0 or 1
        What happened; 1 is the positive class.
    scores : float array of shape (n,), probabilities in [0, 1]
        What was stated, after any calibration map.
    bins : int in [1, 1000], default 15
        Number of bins over the score.
    strategy : "uniform" or "quantile", default "uniform"
        Equal width, or equal mass. Equal edges are merged, so ties may leave fewer bins.
    weights : float array of shape (n,), >= 0, or None
        Row weights; None counts every row once.

    Returns
    -------
    float in [0, 1], direction "lower"
        0 is perfect. The Reading's interval comes from 400 seeded resamples of the rows.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    sum over bins b of (n_b / n) * abs(mean label in b - mean score in b); a score on an edge goes to the upper bin.
    O(n log bins) time, 3n floats of memory; one pass, no sort for "uniform".
    A perfect model is not at 0: with 15 uniform bins and uniform scores its mean is 0.085 at n = 200, 0.038 at 1,000
    and 0.012 at 10,000. Judge the debiased form, or the interval of a difference, never the raw value against 0.
    Do not use it to choose between models (a constant base rate scores near 0) or for rankings; use log loss.

    References
    ----------
    Naeini, Cooper, Hauskrecht (2015), AAAI. Guo et al. (2017), ICML, arXiv 1706.04599.
    Roelofs et al. (2022), AISTATS, arXiv 2012.08668, on bias and the choice of bins.

    Examples
    --------
    >>> scores = np.array([0.1, 0.1, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9])
    >>> labels = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    >>> round(expected_calibration_error(labels, scores, bins=10), 3)
    0.125
    >>> round(expected_calibration_error(labels, scores, bins=1), 3)
    0.075
    """
    require_same_rows(labels=labels, scores=scores, weights=weights)
    w = np.ones(scores.size) if weights is None else weights
    gap = np.bincount(_bin_codes(scores, bins, strategy), w * (labels - scores), minlength=bins)
    return float(np.abs(gap).sum() / w.sum())


def debiased_calibration_error(
    labels: FloatArray, scores: FloatArray, *, bins: int = 15, strategy: Strategy = "quantile", seed: int = 0
) -> float:
    """Expected calibration error minus what a perfect model would show on as many rows.

    In plain words: the gap between stated and true chances that luck alone does not explain.

    Parameters
    ----------
    labels : float array of shape (n,), 0 or 1
        What happened; 1 is the positive class.
    scores : float array of shape (n,), probabilities in [0, 1]
        What was stated, after any calibration map.
    bins : int in [1, 1000], default 15
        Number of bins over the score.
    strategy : "uniform" or "quantile", default "quantile"
        Equal width, or equal mass.
    seed : int >= 0, default 0
        Seed of the draws.

    Returns
    -------
    float in [0, 1], direction "lower"
        Near 0 for a calibrated model of any size; values below 0 are set to 0.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    raw - mean of 200 draws y* ~ Bernoulli(score) in the same bins; above 20,000 rows the mean is taken in closed
    form, sum over bins of sqrt(2 v_b / pi) / n with v_b = sum score (1 - score). O(200 n) or O(n) time.
    Where true gaps are much larger than chance it takes off a little too much: it is a judge's number (conservative
    in finding fault), not a description.

    References
    ----------
    Roelofs et al. (2022), AISTATS, arXiv 2012.08668. Broecker, Smith (2007), Weather Forecast. 22,
    doi 10.1175/WAF993.1, for resampling under calibration.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> scores = rng.uniform(size=1000)
    >>> honest = (rng.uniform(size=1000) < scores).astype(float)
    >>> round(expected_calibration_error(honest, scores, strategy="quantile"), 3)
    0.036
    >>> round(debiased_calibration_error(honest, scores), 3)
    0.0
    """
    raw = expected_calibration_error(labels, scores, bins=bins, strategy=strategy)
    ordered = np.sort(scores)  # draws belong to scores, not to places: any order of rows gives the same number
    return max(0.0, raw - _by_chance(ordered, _bin_codes(ordered, bins, strategy), bins, seed))


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure three forms: raw with equal width, raw with equal mass, debiased with equal mass (the judged one)."""
    quantile = f"{CHECK.id}[strategy=quantile]"
    debiased = f"{CHECK.id}[strategy=quantile,debiased=true]"
    found = stated_truth(inputs)
    if isinstance(found, str):
        return tuple(
            Reading(metric=name, direction=CHECK.direction, not_evaluated=found)
            for name in (CHECK.id, quantile, debiased)
        )
    order = np.lexsort(found)  # so that resamples do not depend on the order of rows
    labels, scores = found[0][order], found[1][order]
    spread = {form: _spread(labels, scores, form, inputs.seed) for form in ("uniform", "quantile")}
    return (
        _reading(CHECK.id, expected_calibration_error(labels, scores), spread["uniform"], labels.size),
        _reading(
            quantile, expected_calibration_error(labels, scores, strategy="quantile"), spread["quantile"], labels.size
        ),
        _reading(
            debiased, debiased_calibration_error(labels, scores, seed=inputs.seed), spread["quantile"], labels.size
        ),
    )


def _reading(metric: str, estimate: float, spread: float, n: int) -> Reading:
    """Make a reading with the interval that the resamples give."""
    half = float(ndtri(0.975)) * spread
    return Reading(
        metric=metric,
        estimate=estimate,
        low=max(0.0, estimate - half),
        high=min(1.0, estimate + half),
        interval_method="bootstrap",
        n=n,
        direction=CHECK.direction,
        extra={"bins": _BINS, "resamples": _RESAMPLES},
    )


def _bin_codes(scores: FloatArray, bins: int, strategy: str) -> NDArray[np.int64]:
    """Return the bin of each score; an edge belongs to the upper bin."""
    grid = np.linspace(0, 1, bins + 1)[1:-1]
    edges = grid if strategy == "uniform" else np.unique(np.quantile(scores, grid))
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def _by_chance(scores: FloatArray, codes: NDArray[np.int64], bins: int, seed: int) -> float:
    """Return the mean raw error of a model whose scores are the true probabilities."""
    n = scores.size
    if n > _EXACT_ROWS:
        variance = np.bincount(codes, scores * (1 - scores), minlength=bins)
        return float(np.sqrt(2 * variance / np.pi).sum() / n)
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(_NULL_DRAWS):
        drawn = (rng.uniform(size=n) < scores) - scores
        total += float(np.abs(np.bincount(codes, drawn, minlength=bins)).sum())
    return total / _NULL_DRAWS / n


def _spread(labels: FloatArray, scores: FloatArray, strategy: str, seed: int) -> float:
    """Return the standard deviation of the raw error over seeded resamples of the rows, bins held."""
    n, codes, gaps = labels.size, _bin_codes(scores, _BINS, strategy), labels - scores
    rng = np.random.default_rng(seed)
    errors = np.empty(_RESAMPLES)
    if n > _EXACT_ROWS:
        codes, gaps, counts = _cells(codes, gaps, labels, scores)
        for draw, again in enumerate(rng.multinomial(n, counts / n, size=_RESAMPLES)):
            errors[draw] = np.abs(np.bincount(codes, again * gaps, minlength=_BINS)).sum() / n
    else:
        for draw in range(_RESAMPLES):
            rows = rng.integers(0, n, n)
            errors[draw] = np.abs(np.bincount(codes[rows], gaps[rows], minlength=_BINS)).sum() / n
    return float(errors.std(ddof=1))


def _cells(
    codes: NDArray[np.int64], gaps: FloatArray, labels: FloatArray, scores: FloatArray
) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Fold many rows into cells of equal bin, label and rounded score: bin, mean gap and count of each."""
    fine = np.minimum((scores * _CELLS).astype(np.int64), _CELLS - 1)
    keys, members = np.unique((codes * 2 + labels.astype(np.int64)) * _CELLS + fine, return_inverse=True)
    counts = np.bincount(members).astype(np.float64)
    return keys // (2 * _CELLS), np.bincount(members, gaps) / counts, counts
