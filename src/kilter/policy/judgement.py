"""What one window's evidence changes: signals stepped, alarms put into words, alerts settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.monitor import Alert, Severity, Signal, Window
from kilter.policy.alerts import Change, Draft, passes, ranking, settle, severity, suggestion
from kilter.policy.budgets import LABELLED
from kilter.policy.detection import advance
from kilter.policy.headlines import headline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from kilter.contracts.ids import AlertId
    from kilter.contracts.reading import Reading
    from kilter.contracts.spec import MonitorSpec
    from kilter.measures.profile import ReferenceProfile
    from kilter.measures.signals import Evidence
    from kilter.policy.detection import Alarm

__all__ = ["History", "Judged", "families", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the store knows when a window is judged.

    ``windows`` are of the same version, newest first; ``mature`` those of them whose labels counted.
    The judged window is the first of the list that its evidence belongs to.
    """

    signals: tuple[Signal, ...]
    alerts: tuple[Alert, ...]
    windows: tuple[Window, ...]
    mature: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Signals and alerts to be stored."""

    signals: tuple[Signal, ...]
    changes: tuple[Change, ...]


def families(reference: ReferenceProfile) -> tuple[str, ...]:
    """Return the families that can be tested for a version; they share the budget.

    Parameters
    ----------
    reference : ReferenceProfile
        Of the version.

    Returns
    -------
    tuple of str

    Raises
    ------
    Nothing
    """
    found = ["operational", "score_drift"]
    if reference.metrics:
        found.append("performance")
    if reference.metrics or reference.class_counts.size:
        found.append("calibration")
    if reference.numeric or reference.categorical:
        found += ["feature_drift", "input_health"]
    return tuple(found)


def judge(
    evidence: Sequence[Evidence],
    history: History,
    *,
    reference: ReferenceProfile,
    spec: MonitorSpec,
    deployment: str,
    number: int,
    is_champion: bool,
    ordinal: Callable[[Window], int],
    area: Callable[[Sequence[Window]], Reading | None],
    at: datetime,
    new_id: Callable[[], AlertId],
) -> Judged:
    """Judge one window.

    Parameters
    ----------
    evidence : sequence of Evidence
        Of the window; families that need labels, or those that do not.
    history : History
        What was known before, the judged window included.
    reference : ReferenceProfile
        Of the version.
    spec : MonitorSpec
        Budgets and tolerances.
    deployment : str
        Its name.
    number : int
        The version that answered.
    is_champion : bool
        Whether that version still answers: alerts are raised for champions only.
    ordinal : callable
        Number of a window on the deployment's grid.
    area : callable
        Realised area under the curve of all rows of some windows; called for alarms only.
    at : datetime
        Now.
    new_id : callable
        Makes an id for a new alert.

    Returns
    -------
    Judged
        Changed signals and alerts.

    Raises
    ------
    InvalidRequest
        If an e-value is NaN.
    """
    known = {(signal.family, signal.name): signal for signal in history.signals}
    signals, alarms = advance(
        known, evidence, deployment=deployment, number=number, present=families(reference), spec=spec
    )
    if not is_champion:
        return Judged(signals=signals, changes=())
    live = [alert for alert in history.alerts if alert.number == number]
    firing = {alarm.family for alarm in alarms}
    drafts = [
        _draft(
            alarm,
            _behind(alarm.family, history),
            live,
            firing=firing,
            reference=reference,
            ordinal=ordinal,
            area=area,
        )
        for alarm in alarms
    ]
    passing = [
        alert.family
        for alert in history.alerts
        if alert.family in {one.family for one in evidence}
        and passes(
            alert.family,
            [window for window in _behind(alert.family, history) if ordinal(window) > alert.window],
            reference,
            spec,
        )
    ]
    changes = settle(history.alerts, drafts, passing, deployment=deployment, number=number, at=at, new_id=new_id)
    return Judged(signals=signals, changes=changes)


def _behind(family: str, history: History) -> tuple[Window, ...]:
    """Return the windows that a family is judged on, newest first: failing requests leave no rows."""
    if family == "operational":
        return history.windows
    chosen = history.mature if family in LABELLED else history.windows
    return tuple(window for window in chosen if window.rows)


def _draft(
    alarm: Alarm,
    windows: Sequence[Window],
    live: Sequence[Alert],
    *,
    firing: Collection[str],
    reference: ReferenceProfile,
    ordinal: Callable[[Window], int],
    area: Callable[[Sequence[Window]], Reading | None],
) -> Draft:
    """Put an alarm into words."""
    newest = windows[0]
    since = windows[min(max(alarm.windows, 1), len(windows)) - 1]
    readings = (*newest.realised, *newest.readings)
    usual = next((value.value for name, value in reference.metrics.items() if name.startswith("roc_auc_score")), None)
    holds = ranking(area(windows[: max(alarm.windows, 1)]), usual) if alarm.family in LABELLED else None
    loud = severity(alarm.family, readings)
    return Draft(
        family=alarm.family,
        severity=loud,
        headline=headline(alarm, readings, reference),
        since=since.start_at,
        window=ordinal(newest),
        log_evidence=alarm.log_evidence,
        log_threshold=alarm.log_threshold,
        suggestion=suggestion(
            alarm.family,
            task=reference.task,
            holds=holds,
            firing={alert.family for alert in live} | {*firing},
            is_feed_broken=_is_broken([(alert.family, alert.severity) for alert in live] + [(alarm.family, loud)]),
        ),
    )


def _is_broken(known: Sequence[tuple[str, Severity]]) -> bool:
    """Say whether input health is worse than a notice."""
    return any(family == "input_health" and loud is not Severity.NOTICE for family, loud in known)
