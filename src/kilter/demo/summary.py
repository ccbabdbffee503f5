"""Sums the demo up from what is on record: the prediction log, the stores, the audit log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from kilter.app import App, build
from kilter.contracts.log import JoinedRows, LogPart, RowQuery
from kilter.contracts.monitor import Alert, Severity, Window
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.demo.project import NAME
from kilter.measures.calibration.expected_calibration_error import debiased_calibration_error
from kilter.measures.interval import wilson_interval
from kilter.measures.rows import FloatArray, label_indexes
from kilter.settings import load

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion
    from kilter.demo.operator import Shipment
    from kilter.demo.project import Project
    from kilter.demo.replay import Tally

__all__ = ["Event", "FirstAlarm", "Quality", "Stretch", "Summary", "in_words", "summarise"]

_NS = 1_000_000_000
_ALL = 10**18 * 4
_LOOK_BACK_NS = 28 * 86_400 * _NS
_TOLERANCE = 0.02
_MISCALIBRATED = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How right a stretch of answers was: share right with its 95 % interval, calibration error, and n labels."""

    n: int
    accuracy: float
    low: float
    high: float
    ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAlarm:
    """The first page: which window, when, and why."""

    window: int
    date: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One monitoring window: how right the answers were, and how right the first version's would have been."""

    start: datetime
    end: datetime
    served: Quality
    unrepaired: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as it was told."""

    day: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that the demo showed, in numbers."""

    requests: int
    failed_requests: int
    rows_acknowledged: int
    predictions_logged: int
    labels_sent: int
    labels_joined: int
    windows: int
    first_alarm: FirstAlarm | None
    false_alarms_before_drift: int
    start: Quality
    before: Quality
    after: Quality
    unrepaired: Quality
    recalibrated: bool
    retrained: bool
    promotions: int
    rolled_back: bool
    rollback_seconds: float | None
    rollback_replayed_days: float | None
    refused_again: bool
    faulty_passed_gates: bool
    requests_failed_during_swap: int
    swaps: int
    audit_rows: int
    audit_verified: bool
    course: tuple[Stretch, ...]
    alarms: tuple[tuple[datetime, datetime], ...]

    @property
    def is_as_promised(self) -> bool:
        """Say whether nothing was lost, nothing failed, and the faulty version was rolled back."""
        return (
            self.failed_requests == 0
            and self.predictions_logged == self.rows_acknowledged
            and self.labels_joined == self.labels_sent
            and self.rolled_back
            and self.audit_verified
        )

    def as_json(self) -> dict[str, object]:
        """Return the one object that ``--json`` prints."""
        return {
            "schema": "kilter.demo/1",
            "ok": self.is_as_promised,
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "rows_acknowledged": self.rows_acknowledged,
            "predictions_logged": self.predictions_logged,
            "labels_sent": self.labels_sent,
            "labels_joined": self.labels_joined,
            "windows": self.windows,
            "first_alarm": asdict(self.first_alarm) if self.first_alarm else None,
            "false_alarms_before_drift": self.false_alarms_before_drift,
            "accuracy_at_start": self.start.accuracy,
            "ece_at_start": self.start.ece,
            "accuracy_before_repair": self.before.accuracy,
            "accuracy_after_repair": self.after.accuracy,
            "ece_before_repair": self.before.ece,
            "ece_after_repair": self.after.ece,
            "accuracy_had_nothing_been_done": self.unrepaired.accuracy,
            "ece_had_nothing_been_done": self.unrepaired.ece,
            "repair_basis": "before: the 28 days before the first alarm; after: every answer of the repaired versions; "
            "had nothing been done: the first version on the same hours",
            "recalibrated": self.recalibrated,
            "retrained": self.retrained,
            "promotions": self.promotions,
            "faulty_version_passed_gates": self.faulty_passed_gates,
            "rolled_back": self.rolled_back,
            "rollback_seconds": self.rollback_seconds,
            "rollback_replayed_days": self.rollback_replayed_days,
            "faulty_version_refused_again": self.refused_again,
            "swaps": self.swaps,
            "requests_failed_during_swap": self.requests_failed_during_swap,
            "audit_rows": self.audit_rows,
            "audit_verified": self.audit_verified,
        }


def summarise(project: Project, tally: Tally, shipment: Shipment) -> Summary:
    """Read everything back and sum it up.

    Raises
    ------
    StoreError
        If the stores cannot be read.
    """
    app = build(load(project.folder))
    try:
        return _summarise(app, tally, shipment)
    finally:
        app.close()


def _summarise(app: App, tally: Tally, shipment: Shipment) -> Summary:
    """Sum up from the open stores."""
    parts = app.metadata.read(lambda tx: tx.list(LogPart, where={"deployment": NAME}, limit=5_000))
    rows = app.table.rows(parts, RowQuery(deployment=NAME, start_ns=0, end_ns=_ALL))
    alerts = app.metadata.read(lambda tx: tx.list(Alert, where={"deployment": NAME}))
    rollouts = app.metadata.read(lambda tx: tx.list(Rollout, where={"deployment": NAME}))
    windows = app.metadata.read(lambda tx: tx.list(Window, where={"deployment": NAME}))
    versions = app.registry.versions(NAME)
    audit = app.governance.verify()
    done = {rollout.candidate for rollout in rollouts if rollout.state is RolloutState.DONE}
    origins = {version.number: version.origin for version in versions}
    pages = [alert for alert in alerts if alert.severity is Severity.PAGE]
    first = min(pages, key=lambda alert: alert.opened_at) if pages else None
    story = _Story(app, versions[0], rows)
    alarm_ns = int(first.opened_at.timestamp() * _NS) if first else _ALL
    shipped = next((rollout for rollout in rollouts if rollout.candidate == shipment.number), None)
    is_back = shipped is not None and shipped.state in (RolloutState.ROLLED_BACK, RolloutState.REJECTED)
    answered = tally.first_answer.get(shipment.number)
    return Summary(
        requests=tally.requests,
        failed_requests=tally.failed,
        rows_acknowledged=tally.rows_acknowledged,
        predictions_logged=rows.n,
        labels_sent=tally.labels_sent,
        labels_joined=sum(label is not None for label in np.asarray(rows.labels).tolist()),
        windows=len(windows),
        first_alarm=None
        if first is None
        else FirstAlarm(window=first.window, date=f"{first.opened_at:%Y-%m-%d}", reason=first.headline),
        false_alarms_before_drift=sum(_ns(page.opened_at) < story.drift_ns(windows) for page in pages),
        start=story.quality(0, int(story.ts_ns.min(initial=_ALL)) + _LOOK_BACK_NS),
        before=story.quality(alarm_ns - _LOOK_BACK_NS, alarm_ns),
        after=story.quality(alarm_ns, _ALL, versions=done),
        unrepaired=story.quality(alarm_ns, _ALL, versions=done, scores=story.first_again()),
        recalibrated=any(origins.get(number) == "recalibrated" for number in done),
        retrained=any(origins.get(number) == "retrained" for number in done),
        promotions=len(done),
        rolled_back=is_back,
        rollback_seconds=round(shipment.flipped - answered, 3) if is_back and answered else None,
        rollback_replayed_days=_replayed_days(shipment) if is_back else None,
        refused_again=shipment.refused_again,
        faulty_passed_gates=shipment.passed_gates,
        requests_failed_during_swap=tally.failed_during_swap,
        swaps=max(0, len(tally.generations) - 1),
        audit_rows=audit.rows,
        audit_verified=audit.is_verified,
        course=story.course(windows),
        alarms=tuple((page.since, page.closed_at or page.updated_at) for page in pages),
    )


class _Story:
    """The logged rows with their labels as numbers, and how right any stretch of them was."""

    def __init__(self, app: App, first_version: ModelVersion, rows: JoinedRows) -> None:
        self._app, self._first, self._rows = app, first_version, rows
        signature = first_version.manifest.signature
        self._positive = signature.positive_index
        self._labels = label_indexes(signature, rows.labels)
        self._scores = np.asarray(rows.scores)[:, self._positive]
        self._number = np.asarray(rows.version)
        self.ts_ns = np.asarray(rows.ts_ns)

    def quality(
        self, start_ns: int, end_ns: int, *, versions: set[int] | None = None, scores: FloatArray | None = None
    ) -> Quality:
        """Measure the answers of a stretch, of some versions alone, or as other scores would have been."""
        chosen = ~np.isnan(self._labels) & (self.ts_ns >= start_ns) & (self.ts_ns < end_ns)
        if versions is not None:
            chosen &= np.isin(self._number, list(versions))
        return _quality(self._labels[chosen], (self._scores if scores is None else scores)[chosen])

    def first_again(self) -> FloatArray:
        """Return what the first version would have answered to every row."""
        scored = self._app.scorer.score(self._first, self._rows.columns)
        return np.asarray(scored.scores)[:, self._positive]

    def course(self, windows: tuple[Window, ...]) -> tuple[Stretch, ...]:
        """Measure every window, as served and as the first version would have answered."""
        again = self.first_again()
        spans = sorted({(window.start_at, window.end_at) for window in windows})
        return tuple(
            Stretch(
                start=start,
                end=end,
                served=self.quality(_ns(start), _ns(end)),
                unrepaired=self.quality(_ns(start), _ns(end), scores=again),
            )
            for start, end in spans
        )

    def drift_ns(self, windows: tuple[Window, ...]) -> int:
        """Return the start of the first window in which, in hindsight, the answers really were worse."""
        reference = self.quality(0, int(self.ts_ns.min(initial=_ALL)) + _LOOK_BACK_NS)
        for window in sorted(windows, key=lambda one: one.start_at):
            found = self.quality(_ns(window.start_at), _ns(window.end_at))
            is_worse = found.high < reference.accuracy - _TOLERANCE or found.ece > _MISCALIBRATED
            if found.n and is_worse:
                return _ns(window.start_at)
        return _ALL


def in_words(summary: Summary) -> list[str]:
    """Return the summary for people, a line each."""
    alarm = summary.first_alarm
    before, after, unrepaired = summary.before, summary.after, summary.unrepaired
    lines = [
        (
            f"requests   {summary.requests:,} sent, {summary.failed_requests} failed; "
            f"{summary.predictions_logged:,} predictions and {summary.labels_joined:,} labels on record"
        ),
        f"start      right in {_of_100(summary.start)}, calibration error {summary.start.ece:.3f}",
    ]
    if alarm is not None:
        lines.append(f"alarm      {alarm.date}, window {alarm.window}: {alarm.reason}")
        lines.append(f"           {summary.false_alarms_before_drift} false alarms before the model really was worse")
    lines += [
        f"before     right in {_of_100(before)}, calibration error {before.ece:.3f} (28 days before the alarm)",
        f"after      right in {_of_100(after)}, calibration error {after.ece:.3f} (repaired versions)",
        (
            f"unrepaired right in {_of_100(unrepaired)}, calibration error {unrepaired.ece:.3f} "
            "(first version, same hours)"
        ),
        (
            f"repairs    recalibrated: {_yes(summary.recalibrated)}, retrained: {_yes(summary.retrained)}, "
            f"{summary.promotions} promotions; {summary.requests_failed_during_swap} requests failed "
            f"during {summary.swaps} changes of the route table"
        ),
    ]
    if summary.rolled_back and summary.rollback_seconds is not None:
        lines.append(
            f"rollback   the faulty version passed its own gates: {_yes(summary.faulty_passed_gates)}; rolled back "
            f"{summary.rollback_seconds:.1f} s after its first answer "
            f"({summary.rollback_replayed_days:g} replayed days), "
            f"refused when tried again: {_yes(summary.refused_again)}"
        )
    lines.append(f"evidence   {summary.audit_rows} audit rows, chain verified: {_yes(summary.audit_verified)}")
    return lines


def _quality(labels: FloatArray, scores: FloatArray) -> Quality:
    """Measure one stretch of answers."""
    n = labels.size
    if n == 0:
        return Quality(n=0, accuracy=0.0, low=0.0, high=1.0, ece=0.0)
    right = int(np.sum((scores >= 0.5) == (labels > 0.5)))
    low, high = wilson_interval(right, n)
    ece = debiased_calibration_error(labels, scores, bins=10)
    return Quality(n=n, accuracy=round(right / n, 4), low=round(low, 4), high=round(high, 4), ece=round(ece, 4))


def _replayed_days(shipment: Shipment) -> float | None:
    """Return the replayed days from the start of the faulty rollout to its end."""
    if shipment.applied_at is None or shipment.rolled_back_at is None:
        return None
    return (shipment.rolled_back_at - shipment.applied_at).total_seconds() / 86_400


def _ns(at: datetime) -> int:
    """Return nanoseconds since the epoch."""
    return int(at.timestamp()) * _NS


def _of_100(quality: Quality) -> str:
    """Say a share as people count."""
    return (
        f"{quality.accuracy * 100:.0f} of 100 ({quality.low * 100:.0f} to {quality.high * 100:.0f}, n = {quality.n:,})"
    )


def _yes(is_so: bool) -> str:  # noqa: FBT001 - a word for a fact
    """Return yes or no."""
    return "yes" if is_so else "no"
