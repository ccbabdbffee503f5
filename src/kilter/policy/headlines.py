"""Alerts in plain words, with numbers, intervals and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.contracts.signature import Task
from kilter.measures.comparison import CALIBRATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.reading import Reading
    from kilter.measures.profile import ReferenceProfile
    from kilter.policy.detection import Alarm

__all__ = ["headline", "number", "percent"]


def headline(alarm: Alarm, readings: Sequence[Reading], reference: ReferenceProfile) -> str:
    """Say what an alarm is about in one sentence.

    Parameters
    ----------
    alarm : Alarm
        Family and its strongest signals.
    readings : sequence of Reading
        Of the window that raised it, realised ones included.
    reference : ReferenceProfile
        What was normal.

    Returns
    -------
    str
        One line without a full stop.

    Raises
    ------
    UnknownName
        Never for families of ``policy.budgets``; a KeyError names any other.

    Notes
    -----
    Where a window has no reading to show, the sentence speaks of the evidence alone.
    """
    writers = {
        "performance": _performance,
        "calibration": _calibration,
        "operational": _operational,
        "score_drift": _score_drift,
        "feature_drift": _feature_drift,
        "input_health": _input_health,
    }
    return writers[alarm.family](alarm, readings, reference)


def percent(share: float) -> str:
    """Return a share as per cent with one decimal.

    Parameters
    ----------
    share : float
        From 0 to 1.

    Returns
    -------
    str

    Raises
    ------
    Nothing

    Examples
    --------
    >>> percent(0.1234)
    '12.3 %'
    """
    return f"{100 * share:.1f} %"


def number(value: float) -> str:
    """Return a number with three significant digits, thousands parted.

    Parameters
    ----------
    value : float
        Any finite number.

    Returns
    -------
    str

    Raises
    ------
    Nothing

    Examples
    --------
    >>> number(12345.6), number(0.012345)
    ('12,346', '0.0123')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _performance(_alarm: Alarm, readings: Sequence[Reading], reference: ReferenceProfile) -> str:
    """Say how much worse the answers are."""
    if reference.task is Task.REGRESSION:
        found = _pick(readings, "mean_absolute_error")
        known = reference.metrics.get("mean_absolute_error")
        if found is None or known is None:
            return "The model's errors have grown beyond what is tolerated"
        return (
            f"Mean absolute error is {number(_value(found))} {_range(found, number)} over {found.n:,} labelled "
            f"predictions; it was {number(known.value)} in the reference"
        )
    found = _pick(readings, "accuracy_score")
    known = reference.metrics.get("accuracy_score")
    if found is None or known is None:
        return "The model is wrong more often than is tolerated"
    brier, usual = _pick(readings, "brier_score_loss"), reference.metrics.get("brier_score_loss")
    more = ""
    if brier is not None and usual is not None:
        more = f", and the squared error of its chances {number(_value(brier))} against {number(usual.value)}"
    return (
        f"Accuracy is {percent(_value(found))} {_range(found, percent)} over {found.n:,} labelled predictions; "
        f"it was {percent(known.value)} in the reference{more}"
    )


def _calibration(alarm: Alarm, readings: Sequence[Reading], reference: ReferenceProfile) -> str:
    """Say which way and how far chances are off."""
    side = "more" if alarm.names[0].endswith("above") else "less"
    if reference.task is Task.REGRESSION:
        found = _pick(readings, "mean_bias_error")
        tail = "" if found is None else f" by {number(abs(_value(found)))} on average {_range(found, number)}"
        return f"Truth is {side} than predicted{tail}"
    found = _pick(readings, CALIBRATION)
    tail = ""
    if found is not None:
        tail = f": chances are off by {percent(_value(found))} on average {_range(found, percent)}, {found.n:,} labels"
    return f"Things happen {side} often than the model says{tail}"


def _operational(_alarm: Alarm, readings: Sequence[Reading], _reference: ReferenceProfile) -> str:
    """Say how many requests fail."""
    found = _pick(readings, "error_rate", "requests")
    if found is None:
        return "More requests fail than is tolerated"
    return f"{percent(_value(found))} of {found.n:,} requests failed {_range(found, percent)}; 2 % are tolerated"


def _score_drift(_alarm: Alarm, readings: Sequence[Reading], _reference: ReferenceProfile) -> str:
    """Say how far the scores have moved."""
    found = _pick(readings, "total_variation", "score")
    tail = (
        ""
        if found is None
        else f": {percent(_value(found))} of predictions lie in other score ranges {_range(found, percent)}"
    )
    return f"The model's scores have shifted against the reference{tail}"


def _feature_drift(alarm: Alarm, readings: Sequence[Reading], _reference: ReferenceProfile) -> str:
    """Say which column moved most, and how far."""
    column = alarm.names[0]
    found = _pick(readings, "total_variation", f"column:{column}")
    tail = (
        ""
        if found is None
        else f": {percent(_value(found))} of rows have other values than before {_range(found, percent)}"
    )
    return f"Input column `{column}` has shifted against the reference{tail}"


def _input_health(alarm: Alarm, readings: Sequence[Reading], _reference: ReferenceProfile) -> str:
    """Say what is wrong with the worst column."""
    column = alarm.names[0]
    missing = _pick(readings, "missing", f"column:{column}")
    unseen = _pick(readings, "unseen", f"column:{column}")
    if missing is None or unseen is None:
        return f"Input column `{column}` is not what the model was accepted on"
    usual = float(missing.extra["reference_share"] or 0.0)
    if _value(missing) - usual >= _value(unseen):
        what = f"{percent(_value(missing))} of {missing.n:,} values are missing; it was {percent(usual)}"
    else:
        what = f"{percent(_value(unseen))} of {unseen.n:,} values were never seen in the reference"
    return f"Input column `{column}`: {what}"


def _pick(readings: Sequence[Reading], metric: str, subject: str = "model") -> Reading | None:
    """Return the evaluated reading of this metric and subject."""
    return next(
        (one for one in readings if one.metric == metric and one.subject == subject and one.estimate is not None), None
    )


def _value(reading: Reading) -> float:
    """Return the estimate of an evaluated reading."""
    return reading.estimate or 0.0


def _range(reading: Reading, text: Callable[[float], str]) -> str:
    """Return the interval in brackets."""
    return f"({text(reading.low or 0.0)} to {text(reading.high or 0.0)})"
