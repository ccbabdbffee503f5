"""Opening, updating, closing of alerts: harm decides how loud, evidence decides what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from kilter.contracts.monitor import Alert, Severity
from kilter.contracts.signature import Task
from kilter.measures.comparison import CALIBRATION
from kilter.measures.signals import FAILURE_LIMIT
from kilter.policy.budgets import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from kilter.contracts.ids import AlertId
    from kilter.contracts.monitor import Window
    from kilter.contracts.reading import Reading
    from kilter.contracts.spec import MonitorSpec
    from kilter.measures.profile import ReferenceProfile

__all__ = ["FOREIGN", "PASSING", "Change", "Draft", "passes", "ranking", "settle", "severity", "suggestion"]

FOREIGN = "control"
"""Family of the control loop's own alerts, which no window settles."""

PASSING = 3
"""Mature windows in a row within tolerance that close an alert."""

_RANKING_MARGIN = 0.02
_SURGE = 0.20


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An alarm put into words, before it is known whether it opens or updates an alert."""

    family: str
    severity: Severity
    headline: str
    since: datetime
    window: int
    log_evidence: float
    log_threshold: float
    suggestion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``opened``, ``updated`` or ``closed``, with the alert as it is to be stored."""

    kind: str
    alert: Alert


def severity(family: str, readings: Sequence[Reading]) -> Severity:
    """Say how loud a family's alarm is.

    Parameters
    ----------
    family : str
        Which family.
    readings : sequence of Reading
        Of the window.

    Returns
    -------
    Severity
        Harm pages; a surge of missing values of 20 points warns; what has only moved is a notice.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> severity("performance", []).value, severity("feature_drift", []).value
    ('page', 'notice')
    """
    if family in PAGES:
        return Severity.PAGE
    surges = (float(one.extra["difference"] or 0.0) for one in readings if one.metric == "missing" and one.extra)
    is_surge = family == "input_health" and max(surges, default=0.0) >= _SURGE
    return Severity.WARN if is_surge else Severity.NOTICE


def ranking(area: Reading | None, usual: float | None) -> bool | None:
    """Say whether the model still ranks as well as it did.

    Parameters
    ----------
    area : Reading or None
        Realised area under the curve of all rows since the change (merged counts, not a mean of windows').
    usual : float or None
        The reference's.

    Returns
    -------
    bool or None
        True: lower bound >= reference - .02; False: upper bound below it; None: cannot tell.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> from kilter.contracts.reading import Reading
    >>> ranking(Reading(metric="roc_auc_score", estimate=0.9, low=0.89, high=0.91, n=900), 0.9)
    True
    """
    if area is None or usual is None or area.low is None or area.high is None:
        return None
    limit = usual - _RANKING_MARGIN
    if area.low >= limit:
        return True
    return False if area.high < limit else None


def suggestion(
    family: str, *, task: Task, holds: bool | None, firing: Collection[str], is_feed_broken: bool = False
) -> str:
    """Suggest the cheapest rung of the repair ladder that the evidence supports.

    Parameters
    ----------
    family : str
        Whose alarm it is.
    task : Task
        Of the model.
    holds : bool or None
        Whether ranking holds.
    firing : collection of str
        Families with an open alert or an alarm now.
    is_feed_broken : bool, default False
        Whether a surge of missing values is open: more than movement of inputs.

    Returns
    -------
    str
        ``fix the feed``, ``recalibrate``, ``refit`` or ``look``.

    Raises
    ------
    Nothing

    Notes
    -----
    Broken input explains bad answers, so it comes first. A calibration alarm, or a performance alarm beside one, with
    ranking intact is recalibration's case; lost ranking, or an error of a regression model, is refitting's.

    Examples
    --------
    >>> suggestion("calibration", task=Task.BINARY, holds=True, firing=["calibration"])
    'recalibrate'
    """
    if family not in ("performance", "calibration", "input_health"):
        return "look"
    if is_feed_broken or family == "input_health":
        return "fix the feed" if is_feed_broken else "look"
    if task is Task.REGRESSION or holds is False:
        return "refit"
    return "recalibrate" if holds and "calibration" in firing else "look"


def passes(family: str, windows: Sequence[Window], reference: ReferenceProfile, spec: MonitorSpec) -> bool:
    """Say whether the latest windows show that a family is within tolerance again.

    Parameters
    ----------
    family : str
        Whose alert might be closed.
    windows : sequence of Window
        Consecutive ones after the alarm, newest first; mature ones for families that need labels.
    reference : ReferenceProfile
        Gives the limits.
    spec : MonitorSpec
        Tolerances.

    Returns
    -------
    bool
        True if each of the last three is within its limit and, for risks, the upper bound of the three together is too.
        Missing readings never pass.

    Raises
    ------
    Nothing
    """
    last = windows[:PASSING]
    if len(last) < PASSING:
        return False
    if family in ("score_drift", "feature_drift", "input_health"):
        return all(_is_still(family, window.readings, spec) for window in last)
    metric, subject, limit = _limit(family, reference, spec)
    found = [
        one
        for window in last
        for one in (*window.realised, *window.readings)
        if one.metric == metric and one.subject == subject and one.estimate is not None
    ]
    pool = _pooled(found)
    if pool is None or len(found) < PASSING or limit is None:
        return False
    values = [_harm(metric, one.estimate or 0.0) for one in found]
    if metric in (CALIBRATION, "mean_bias_error"):
        return max(values) <= limit
    upper = 1 - pool[1] if metric == "accuracy_score" else pool[2]
    return max(values) <= limit and upper <= limit


def settle(
    open_alerts: Sequence[Alert],
    drafts: Sequence[Draft],
    passing: Collection[str],
    *,
    deployment: str,
    number: int,
    at: datetime,
    new_id: Callable[[], AlertId],
) -> tuple[Change, ...]:
    """Turn alarms into changes of alerts: one open alert per family, drift as a cause of harm.

    Parameters
    ----------
    open_alerts : sequence of Alert
        All open ones of the deployment; those of the control loop itself are left alone.
    drafts : sequence of Draft
        Alarms of this window.
    passing : collection of str
        Families within tolerance again.
    deployment, number : str and int
        Of the window; alerts of other versions are superseded.
    at, new_id : datetime and callable
        Now, and what makes an id.

    Returns
    -------
    tuple of Change
        In the order to be stored; each alert at most once.

    Raises
    ------
    Nothing

    Notes
    -----
    A notice that fires while a page is open becomes its cause; notices open when a page opens are closed into it.
    Warnings stand on their own: broken input is something else to repair than a model.
    """
    board = _Board(open_alerts, number, at)
    for draft in sorted(drafts, key=lambda one: one.family not in PAGES):
        is_alone = draft.severity is not Severity.NOTICE or draft.family in board.alerts
        if is_alone or not board.pages():
            known = board.alerts.get(draft.family)
            alert = _opened(draft, deployment, number, at, new_id()) if known is None else _repeated(known, draft)
            board.put(board.absorb(alert))
        else:
            board.add_cause(draft.headline)
    fired = {draft.family for draft in drafts}
    for family in passing:
        if family in board.alerts and family not in fired:
            board.close(board.alerts[family], f"{PASSING} windows in a row within tolerance")
    return tuple(board.changes.values())


class _Board:
    """The open alerts of one deployment by family, and what has changed."""

    def __init__(self, open_alerts: Sequence[Alert], number: int, at: datetime) -> None:
        mine = [alert for alert in open_alerts if alert.family != FOREIGN]
        self.alerts = {alert.family: alert for alert in mine if alert.number == number}
        self.changes: dict[AlertId, Change] = {}
        self._stored = {alert.id: alert.version for alert in mine}
        self._at = at
        for alert in mine:
            if alert.number != number:
                self.close(alert, f"superseded by version {number}")

    def pages(self) -> list[Alert]:
        """Return the open alerts about harm."""
        return [alert for family, alert in self.alerts.items() if family in PAGES]

    def put(self, alert: Alert) -> None:
        """Take an alert as it now is."""
        kind = "updated" if alert.id in self._stored else "opened"
        done = replace(alert, updated_at=self._at, version=self._stored.get(alert.id, 0) + 1)
        self.alerts[alert.family] = done
        self.changes[alert.id] = Change(kind=kind, alert=done)

    def close(self, alert: Alert, reason: str) -> None:
        """Close an alert."""
        if self.alerts.get(alert.family) is not None and self.alerts[alert.family].id == alert.id:
            del self.alerts[alert.family]
        version = self._stored.get(alert.id, 0) + 1
        done = replace(alert, closed_at=self._at, updated_at=self._at, closed_reason=reason, version=version)
        self.changes[alert.id] = Change(kind="closed", alert=done)

    def absorb(self, alert: Alert) -> Alert:
        """Close open notices into a page, as its causes."""
        if alert.family in PAGES:
            for notice in [one for one in self.alerts.values() if one.severity is Severity.NOTICE]:
                self.close(notice, f"now a cause of alert {alert.id}")
                alert = replace(alert, causes=_with(alert.causes, notice.headline))
        return alert

    def add_cause(self, headline: str) -> None:
        """Name a notice as cause of every open page."""
        for page in self.pages():
            self.put(replace(page, causes=_with(page.causes, headline)))


def _opened(draft: Draft, deployment: str, number: int, at: datetime, alert_id: AlertId) -> Alert:
    """Return a new alert."""
    return Alert(
        id=alert_id,
        deployment=deployment,
        number=number,
        family=draft.family,
        severity=draft.severity,
        headline=draft.headline,
        since=draft.since,
        window=draft.window,
        log_evidence=draft.log_evidence,
        log_threshold=draft.log_threshold,
        causes=(),
        suggestion=draft.suggestion,
        opened_at=at,
        updated_at=at,
    )


def _repeated(alert: Alert, draft: Draft) -> Alert:
    """Return an open alert with the news of one more alarm."""
    loudest = min(alert.severity, draft.severity, key=[Severity.PAGE, Severity.WARN, Severity.NOTICE].index)
    return replace(
        alert,
        severity=loudest,
        headline=draft.headline,
        log_evidence=draft.log_evidence,
        suggestion=draft.suggestion,
        repeats=alert.repeats + 1,
    )


def _with(causes: tuple[str, ...], cause: str) -> tuple[str, ...]:
    """Add a cause; the newest five are kept, each once."""
    return (*(one for one in causes if one != cause), cause)[-5:]


def _limit(family: str, reference: ReferenceProfile, spec: MonitorSpec) -> tuple[str, str, float | None]:
    """Return metric, subject and limit of its harm for a family that is judged on a risk."""
    absolute, relative = spec.loss_tolerance_absolute, spec.loss_tolerance_relative
    if family == "operational":
        return "error_rate", "requests", FAILURE_LIMIT
    if reference.task is Task.REGRESSION:
        size = reference.metrics.get("mean_absolute_error")
        if family == "calibration":
            return "mean_bias_error", "model", None if size is None else relative * size.value
        return "mean_absolute_error", "model", None if size is None else size.high + relative * size.value
    if family == "calibration":
        usual = reference.metrics.get(CALIBRATION)
        return CALIBRATION, "model", spec.calibration_tolerance + (usual.value if usual else 0.0)
    known = reference.metrics.get("accuracy_score")
    limit = None if known is None else 1 - known.low + max(absolute, relative * (1 - known.value))
    return "accuracy_score", "model", limit


def _harm(metric: str, value: float) -> float:
    """Turn a metric's value into one that is better when lower."""
    if metric == "accuracy_score":
        return 1 - value
    return abs(value)


def _is_still(family: str, readings: Sequence[Reading], spec: MonitorSpec) -> bool:
    """Say whether a window's distances are within tolerance."""
    wanted = {
        "score_drift": (("total_variation",), "score", spec.drift_tolerance),
        "feature_drift": (("total_variation",), "column:", spec.drift_tolerance),
        "input_health": (("missing", "unseen"), "column:", 0.02),
    }
    metrics, prefix, limit = wanted[family]
    found = [one for one in readings if one.metric in metrics and one.subject.startswith(prefix)]
    return bool(found) and all(
        one.estimate is not None and float(one.extra.get("difference", one.estimate) or 0.0) <= limit for one in found
    )


def _pooled(readings: Sequence[Reading]) -> tuple[float, float, float] | None:
    """Return the mean of several windows' readings, weighted by rows, with its interval."""
    known = [one for one in readings if one.estimate is not None and one.low is not None and one.high is not None]
    n = sum(one.n for one in known)
    if n == 0:
        return None
    mean = sum(one.n * (one.estimate or 0.0) for one in known) / n
    half = sum((one.n * ((one.high or 0.0) - (one.low or 0.0)) / 2) ** 2 for one in known) ** 0.5 / n
    return mean, mean - half, mean + half
