"""One word for how a deployment is, with the sentence and the next step that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilter.contracts.monitor import DeploymentHealth, HealthState, Severity, TrustState
from kilter.policy.budgets import PAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kilter.contracts.monitor import Alert, Window
    from kilter.contracts.spec import MonitorSpec

__all__ = ["Filling", "health"]

_STEPS = {
    "recalibrate": "recalibrate: ranking holds, the stated chances do not",
    "refit": "retrain: the relation between inputs and truth has changed",
    "fix the feed": "look at the data feed: inputs are not what the model was accepted on",
    "look": "look at the evidence with `kilter explain`",
}


class Filling(NamedTuple):
    """The window that is still open: the champion's rows so far, and the earliest time that it can close."""

    rows: int = 0
    ends_at: datetime | None = None
    is_over: bool = False


def health(
    deployment: str,
    *,
    champion: int | None,
    windows: Sequence[Window],
    mature: Sequence[Window],
    alerts: Sequence[Alert],
    reference_rows: int,
    spec: MonitorSpec,
    filling: Filling | None = None,
    elsewhere: int = 0,
) -> DeploymentHealth:
    """Say how a deployment is.

    Parameters
    ----------
    deployment : str
        Its name.
    champion : int or None
        Version that answers; None: none does.
    windows : sequence of Window
        Latest windows of the champion, newest first.
    mature : sequence of Window
        Latest windows whose labels counted, newest first.
    alerts : sequence of Alert
        Open ones.
    reference_rows : int
        Rows of the champion's reference; 0 if it has none.
    spec : MonitorSpec
        Least rows of a window.
    filling : Filling or None
        The window that is still open; asked for while no window is complete.
    elsewhere : int
        Predictions of candidates in a newest window in which the champion had none.

    Returns
    -------
    DeploymentHealth
        Worst first: stopped, an alert, too little data, fine.

    Raises
    ------
    Nothing
        No data is said, never taken for health.
    """
    small = f"; the reference has only {reference_rows} rows, so bounds are wide" if 0 < reference_rows < 500 else ""
    newest = windows[0] if windows else None
    trust = newest.trust if newest else TrustState.UNAVAILABLE
    if champion is None:
        return _state(deployment, HealthState.STOPPED, "No version is deployed", "deploy a version with `kilter apply`")
    if alerts:
        return _alarmed(deployment, alerts, trust, small)
    if newest is None:
        return _unfilled(deployment, filling or Filling(), spec.min_rows)
    if newest.rows == 0:
        return _silent(deployment, newest, elsewhere, spec.min_rows)
    if newest.rows < spec.min_rows:
        sentence = f"The last window has {newest.rows} of {spec.min_rows} rows: too early to say{small}"
        return _state(
            deployment,
            HealthState.UNKNOWN,
            sentence,
            "wait, or set a longer `[monitor] window`",
            at=newest,
            rows=spec.min_rows - newest.rows,
        )
    return _calm(deployment, mature, newest, small)


def _silent(deployment: str, newest: Window, elsewhere: int, least: int) -> DeploymentHealth:
    """Speak of a window in which the champion answered nothing."""
    time = f"between {_minute(newest, 'start')} and {_minute(newest, 'end')}"
    if elsewhere:
        sentence = f"The champion answered nothing {time}, a candidate answered {elsewhere:,} predictions"
        step = "wait for the end of the rollout, or roll it back"
        return _state(deployment, HealthState.UNKNOWN, sentence, step, at=newest, rows=least)
    sentence = f"No prediction arrived {time}"
    return _state(deployment, HealthState.STOPPED, sentence, "look whether callers reach the service", at=newest)


def _unfilled(deployment: str, filling: Filling, least: int) -> DeploymentHealth:
    """Say what is missing before the first window is complete: rows, time, or both."""
    missing = max(0, least - filling.rows)
    rows = f"{filling.rows:,} of {least:,} predictions are logged"
    if not missing:
        rows = f"{filling.rows:,} predictions are logged, which is enough"
    elif filling.ends_at is None:
        rows = f"no prediction is logged, a window needs {least:,}"
    time = ""
    if filling.ends_at is not None and not filling.is_over:
        time = f"; the window ends at {filling.ends_at:%Y-%m-%d %H:%M} UTC"
    sentence = f"No monitoring window is complete yet: {rows}{time}"
    step = "send predictions" if missing else "wait for the window to end"
    return _state(deployment, HealthState.UNKNOWN, sentence, step, rows=missing)


def _alarmed(deployment: str, alerts: Sequence[Alert], trust: TrustState, small: str) -> DeploymentHealth:
    """Speak of the loudest open alert."""
    order = [Severity.PAGE, Severity.WARN, Severity.NOTICE]
    worst = min(alerts, key=lambda alert: (order.index(alert.severity), alert.family not in PAGES, alert.opened_at))
    more = f" (and {len(alerts) - 1} more)" if len(alerts) > 1 else ""
    return DeploymentHealth(
        deployment=deployment,
        state=HealthState.ATTENTION if worst.severity is Severity.PAGE else HealthState.WATCH,
        sentence=f"{worst.headline}{more}{small}",
        since=worst.since,
        next_step=_STEPS.get(worst.suggestion, _STEPS["look"]),
        trust=trust,
    )


def _calm(deployment: str, mature: Sequence[Window], newest: Window, small: str) -> DeploymentHealth:
    """Speak of a deployment without alerts: fine by labels, or not yet known."""
    judged = next((window for window in mature if any(one.estimate is not None for one in window.realised)), None)
    if judged is None:
        sentence = f"Inputs and scores look as before, but too few labels have arrived: too early to say{small}"
        joined = max((window.coverage.joined for window in mature if window.coverage), default=0)
        return _state(
            deployment,
            HealthState.UNKNOWN,
            sentence,
            "send what really happened with `kilter feedback`",
            at=newest,
            rows=max(1, 30 - joined),
        )
    labels = judged.coverage.joined if judged.coverage else 0
    counts = f"{newest.rows:,} predictions in the last window, {labels:,} labels in the last judged one"
    sentence = f"Within tolerance: {counts}{small}"
    return _state(deployment, HealthState.FINE, sentence, "nothing to do", at=newest)


def _state(
    deployment: str, state: HealthState, sentence: str, step: str, *, at: Window | None = None, rows: int = 0
) -> DeploymentHealth:
    """Return a state that no alert speaks for."""
    return DeploymentHealth(
        deployment=deployment,
        state=state,
        sentence=sentence,
        next_step=step,
        since=at.start_at if at else None,
        rows_needed=rows,
        trust=at.trust if at else TrustState.UNAVAILABLE,
    )


def _minute(window: Window, end: str) -> str:
    """Return the start or the end of a window to the minute."""
    return f"{window.start_at if end == 'start' else window.end_at:%Y-%m-%d %H:%M}"
