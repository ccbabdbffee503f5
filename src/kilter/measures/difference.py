"""Gain of one version over another, or over the best constant answer, on the same rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.measures.interval import Influence, paired_interval
from kilter.measures.performance.dummy import dummy_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilter.contracts.check import CheckInputs, CheckSpec
    from kilter.measures.rows import FloatArray

__all__ = ["dummy_inputs", "paired_gain"]


def paired_gain(
    inputs: CheckInputs,
    other: CheckInputs,
    influence: Callable[[CheckInputs], Influence | str],
    *,
    spec: CheckSpec,
    name: str,
    metric: str = "",
) -> Reading:
    """Reading of how much better one version's metric is than another's.

    In plain words: how much you win by switching, and how sure that is.

    Parameters
    ----------
    inputs : CheckInputs
        Labels and scores of the version judged.
    other : CheckInputs
        The same rows in the same order, as the other version sees them (its own class order and threshold).
    influence : callable of CheckInputs
        The metric: its estimate with influence values, or the reason why there is none.
    spec : CheckSpec
        The metric's own, for direction and range.
    name : str
        What the other is called: ``live``, ``churn@7``, ``baseline:dummy``.
    metric : str, default ""
        Name in the reading; empty: the spec's id.

    Returns
    -------
    Reading, subject ``difference:name``, direction "higher"
        Above 0 is better, whatever the metric's own direction; for a metric with a target, the fall of its
        distance from 0. ``extra``: ``candidate``, ``baseline``, ``unit_range``. Rows without a label for either
        are left out.

    Raises
    ------
    SchemaMismatch
        If the two have another number of rows.

    Notes
    -----
    Influence values are subtracted row by row, so what is hard for both cancels; `paired_interval`. O(n) after
    the two metrics.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44, doi 10.2307/2531595.

    Examples
    --------
    >>> from kilter.contracts.check import CheckInputs
    >>> from kilter.contracts.signature import Signature, Task
    >>> from kilter.measures.performance import mean_absolute_error as mae
    >>> labels = np.array([1.0, 2.0, 3.0, 4.0])
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> ours = CheckInputs(signature=signature, labels=labels, scores=labels + 0.1)
    >>> gain = paired_gain(ours, dummy_inputs(ours, "mean_absolute_error"), mae.influence, spec=mae.CHECK, name="dummy")
    >>> round(gain.estimate, 2), gain.subject, gain.low < 0.9 < gain.high
    (0.9, 'difference:dummy', True)
    """
    label = metric or spec.id
    subject = f"difference:{name}"
    known = _known(inputs) & _known(other)
    mine, theirs = influence(_only(inputs, known)), influence(_only(other, known))
    if isinstance(mine, str) or isinstance(theirs, str):
        reason = mine if isinstance(mine, str) else f"{theirs} ({name})"
        return Reading(metric=label, subject=subject, direction=Direction.HIGHER, not_evaluated=reason)
    (gain_a, psi_a), (gain_b, psi_b) = _goodness(mine, spec.direction), _goodness(theirs, spec.direction)
    low, high = paired_interval(gain_a - gain_b, psi_a, psi_b)
    return Reading(
        metric=label,
        subject=subject,
        estimate=gain_a - gain_b,
        low=low,
        high=high,
        interval_method="paired t",
        n=psi_a.size,
        direction=Direction.HIGHER,
        extra={"candidate": mine.estimate, "baseline": theirs.estimate, "unit_range": int(spec.unit_range)},
    )


def dummy_inputs(inputs: CheckInputs, metric: str) -> CheckInputs:
    """The same rows, answered by the best constant.

    In plain words: a stand-in for a model that knows nothing.

    Parameters
    ----------
    inputs : CheckInputs
        Labels of the rows.
    metric : str
        Name of the metric that the constant should be best at.

    Returns
    -------
    CheckInputs
        With constant scores, and the threshold 0.5.

    Raises
    ------
    SchemaMismatch
        If no row has a label.

    Notes
    -----
    O(n k); `dummy_scores`.

    References
    ----------
    None; the intercept-only model.

    Examples
    --------
    >>> from kilter.contracts.check import CheckInputs
    >>> from kilter.contracts.signature import Signature, Task
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> ours = CheckInputs(signature=signature, labels=np.array([1.0, 2.0, 6.0]))
    >>> dummy_inputs(ours, "root_mean_squared_error").scores
    array([3., 3., 3.])
    """
    labels = np.asarray(inputs.labels, dtype=np.float64)
    return replace(inputs, scores=dummy_scores(inputs.signature, labels, metric=metric), threshold=0.5)


def _known(inputs: CheckInputs) -> NDArray[np.bool_]:
    """Return which rows have a label."""
    return np.isfinite(np.asarray(inputs.labels, dtype=np.float64))


def _only(inputs: CheckInputs, rows: NDArray[np.bool_]) -> CheckInputs:
    """Return the labels and scores of some rows."""
    scores = None if inputs.scores is None else np.asarray(inputs.scores)[rows]
    return replace(inputs, labels=np.asarray(inputs.labels)[rows], scores=scores)


def _goodness(found: Influence, direction: Direction) -> tuple[float, FloatArray]:
    """Turn a metric so that more is better."""
    if direction is Direction.HIGHER:
        return found.estimate, found.psi
    if direction is Direction.TARGET:
        return -abs(found.estimate), -np.sign(found.estimate) * found.psi
    return -found.estimate, -found.psi
