"""One metric, slice by slice, worst first."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import ndtr, ndtri

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import mean, metric_readings, truth
from kilter.measures.performance.loss import row_loss
from kilter.measures.rows import label_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from kilter.contracts.arrays import Array
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "breach_p_value", "holm", "run", "slice_codes", "slice_table"]

CHECK: Final = CheckSpec(
    id="slice_table",
    title="Where the model is worse than overall",
    needs=("labels", "scores", "columns"),
    direction=Direction.LOWER,
)

_MIN_CASES: Final = 10
_OTHER: Final = "(other)"
_MISSING: Final = "(missing)"


def slice_codes(
    values: Array, *, reference: Array | None = None, top: int = 9, quantiles: int = 10
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Cut one column into slices.

    In plain words: groups rows by the most frequent values, or by ten ranges of a number.

    Parameters
    ----------
    values : array of shape (n,)
        Object (text or None) or float64 (NaN = missing).
    reference : array of shape (m,) or None
        The column's reference rows, which set the ranges; None: the values themselves.
    top : int >= 1, default 9
        Levels with a slice of their own; the rest is ``(other)``.
    quantiles : int >= 2, default 10
        Ranges of a number with more distinct values than this.

    Returns
    -------
    tuple of int64 array of shape (n,), tuple of str
        Position of each row's slice, and the names of the slices. Missing is a slice of its own.

    Raises
    ------
    SchemaMismatch
        If a cell is neither text nor number.

    Notes
    -----
    Text, and numbers of few distinct values, by level; other numbers by quantiles of the reference, an edge
    belonging to the upper range. O(n) with a dictionary for text, O(n log n) for numbers. Levels tie by name.

    References
    ----------
    None; a convention.

    Examples
    --------
    >>> codes, names = slice_codes(np.array(["pro", None, "free", "pro"], dtype=object), top=1)
    >>> codes.tolist(), names
    ([0, 2, 1, 0], ('pro', '(other)', '(missing)'))
    """
    column = np.asarray(values)
    if column.dtype.kind == "O":
        return _by_level(column.tolist(), top)
    numbers = column.astype(np.float64)
    source = numbers if reference is None else np.asarray(reference, dtype=np.float64)
    source = source[np.isfinite(source)]
    if np.unique(source).size <= quantiles:
        cells = [None if np.isnan(value) else label_text(value) for value in np.clip(numbers, -1e300, 1e300).tolist()]
        return _by_level(cells, quantiles)
    edges = np.unique(np.quantile(source, np.linspace(0, 1, quantiles + 1)[1:-1]))
    missing = np.isnan(numbers)
    codes = np.where(missing, edges.size + 1, np.searchsorted(edges, numbers, side="right"))
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
    return codes.astype(np.int64), (f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}", _MISSING)


def slice_table(
    inputs: CheckInputs,
    columns: Sequence[str],
    influence: Callable[[CheckInputs], Found],
    *,
    spec: CheckSpec,
    metric: str = "",
    min_rows: int = 200,
) -> tuple[Reading, ...]:
    """Readings of one metric in every slice of some columns, worst first.

    In plain words: which groups of cases the model serves worst, and how sure that is.

    Parameters
    ----------
    inputs : CheckInputs
        Labels, scores and columns of the rows.
    columns : sequence of str
        Columns to cut by, each alone; they need not be columns of the model.
    influence : callable of CheckInputs
        The metric: its estimate with influence values, or the reason why there is none.
    spec : CheckSpec
        The metric's own, for direction and range.
    metric : str, default ""
        Name in the readings; empty: the spec's id.
    min_rows : int >= 2, default 200
        Slices of fewer rows are listed as ``too_few_rows`` and not evaluated; so are slices whose metric
        rests on fewer than 10 cases (positives, say).

    Returns
    -------
    tuple of Reading
        Subject ``slice:column=level``; evaluated ones first, worst first; then the rest by size.

    Raises
    ------
    SchemaMismatch
        If a cell of a column is neither text nor number.

    Notes
    -----
    O(n) a slice, at most 12 slices a column. Intervals are each slice's own; use `holm` before calling any
    of many slices bad.

    References
    ----------
    Chung et al. (2019), ICDE, doi 10.1109/ICDE.2019.00139.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> inputs = CheckInputs(
    ...     signature=Signature(task=Task.REGRESSION, target="y", columns=()),
    ...     labels=np.zeros(20),
    ...     scores=np.repeat([1.0, 5.0], 10),
    ...     columns={"plan": np.repeat(np.array(["a", "b"], dtype=object), 10)},
    ... )
    >>> table = slice_table(inputs, ["plan"], lambda part: mean(np.abs(part.scores)), spec=CHECK, min_rows=10)
    >>> [(reading.subject, round(reading.estimate, 2)) for reading in table]
    [('slice:plan=b', 5.0), ('slice:plan=a', 1.0)]
    """
    name = metric or spec.id
    readings: list[Reading] = []
    for column in columns:
        if column not in inputs.columns:
            readings.append(
                Reading(metric=name, subject=f"slice:{column}", not_evaluated=f"no_groups: no column `{column}`")
            )
            continue
        reference = None if inputs.reference is None else inputs.reference.get(column)
        codes, names = slice_codes(inputs.columns[column], reference=reference)
        for code in np.unique(codes):
            part, rows = _part(inputs, codes == code)
            found = _enough(influence(part), rows, min_rows)
            subject = f"slice:{column}={names[code]}"
            readings += (replace(one, n=rows) for one in metric_readings(spec, found, metric=name, subject=subject))
    sign = -1.0 if spec.direction is Direction.HIGHER else 1.0
    return tuple(sorted(readings, key=lambda one: (one.estimate is None, -sign * (one.estimate or 0.0), -one.n)))


def holm(p_values: FloatArray) -> FloatArray:
    """Adjusted p-values of many tests at once.

    In plain words: how surprising each finding is once you count that you looked many times.

    Parameters
    ----------
    p_values : float array of shape (m,), in [0, 1]
        One per test; may be empty.

    Returns
    -------
    float array of shape (m,), in [0, 1]
        Compare with the level wanted for "any false finding at all".

    Raises
    ------
    SchemaMismatch
        If a value lies outside [0, 1].

    Notes
    -----
    Step-down: the i-th smallest times (m - i + 1), made monotone. Any dependence between tests. O(m log m).

    References
    ----------
    Holm (1979), Scand. J. Stat. 6, 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(2)
    array([0.03, 0.06, 0.06])
    """
    if ((p_values < 0) | (p_values > 1) | np.isnan(p_values)).any():
        msg = "a p-value lies outside 0 to 1"
        raise SchemaMismatch(msg, hint="give probabilities")
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1))
    adjusted = np.empty(p_values.size)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def breach_p_value(reading: Reading, limit: float, *, is_upper: bool) -> float:
    """One-sided p-value for "the true value keeps the limit", from a reading's interval.

    In plain words: how likely such a bad number would be if the slice were just at the limit.

    Parameters
    ----------
    reading : Reading
        Evaluated, with an interval.
    limit : float
        In the metric's unit.
    is_upper : bool
        True: the value should be at most the limit.

    Returns
    -------
    float in [0, 1]
        1 without an interval: no evidence, no breach.

    Raises
    ------
    SchemaMismatch
        Never; readings without an estimate give 1.

    Notes
    -----
    The distance to the limit in standard errors, taken from the half of the interval that faces the limit (so
    that logit and Wilson intervals keep their shape). O(1).

    References
    ----------
    Altman, Bland (2011), BMJ 343, doi 10.1136/bmj.d2304.

    Examples
    --------
    >>> reading = Reading(metric="m", estimate=0.30, low=0.26, high=0.34, n=500)
    >>> round(breach_p_value(reading, 0.25, is_upper=True), 4)
    0.0071
    """
    if reading.estimate is None or reading.low is None or reading.high is None:
        return 1.0
    beyond = reading.estimate - limit if is_upper else limit - reading.estimate
    facing = reading.low if reading.estimate > limit else reading.high
    half = abs(reading.estimate - facing)
    if half == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(ndtr(-beyond / half * ndtri((1 + reading.level) / 2)))


def influence(inputs: CheckInputs) -> Found:
    """Return the mean bounded loss with the influence of each labelled row, or why there is none."""
    found = truth(inputs)
    if isinstance(found, str):
        return found
    labels, scores = found
    if inputs.signature.task is Task.REGRESSION:
        return mean(np.abs(labels - scores))
    return mean(row_loss(inputs.signature, labels, scores))


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the mean loss (Brier form, or absolute error) in the slices asked for, 100 rows at least."""
    if not inputs.slices:
        return (Reading(metric=CHECK.id, not_evaluated="no_groups: no columns to cut by were named"),)
    table = slice_table(inputs, inputs.slices, influence, spec=CHECK, min_rows=100)
    return table or (Reading(metric=CHECK.id, not_evaluated="too_few_rows: there are no rows to cut"),)


def _by_level(cells: Sequence[str | None], top: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Cut by value: the most frequent ones, the others, missing."""
    counts: dict[str, int] = {}
    for cell in cells:
        if cell is not None:
            counts[cell] = counts.get(cell, 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))[:top]
    positions = {name: position for position, name in enumerate(names)}
    other, missing = len(names), len(names) + 1
    codes = [missing if cell is None else positions.get(cell, other) for cell in cells]
    return np.array(codes, dtype=np.int64), (*names, _OTHER, _MISSING)


def _part(inputs: CheckInputs, inside: NDArray[np.bool_]) -> tuple[CheckInputs, int]:
    """Return the inputs of some rows, and how many of them have a label."""
    labels = None if inputs.labels is None else np.asarray(inputs.labels)[inside]
    scores = None if inputs.scores is None else np.asarray(inputs.scores)[inside]
    rows = int(inside.sum()) if labels is None else int(np.isfinite(labels).sum())
    return replace(inputs, labels=labels, scores=scores), rows


def _enough(found: Found, rows: int, min_rows: int) -> Found:
    """Refuse a slice that is too small to speak."""
    if rows < min_rows:
        return f"too_few_rows: {rows} rows, {min_rows} needed"
    if not isinstance(found, str) and found.n_eff < _MIN_CASES:
        return f"too_few_positives: rests on {found.n_eff} cases, {_MIN_CASES} needed"
    return found
