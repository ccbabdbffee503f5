"""The monitor's tick: what is due is closed, what is labelled is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import LabelCoverage, MonitorTick, Window
from kilter.contracts.reading import Reading
from kilter.errors import NotFound
from kilter.measures import comparison, signals
from kilter.measures.profile import ReferenceProfile, codec
from kilter.measures.profile import window as counting
from kilter.measures.rows import label_indexes
from kilter.policy import windows
from kilter.policy.alerts import FOREIGN
from kilter.policy.health import Filling, health
from kilter.policy.trust import trust
from kilter.services.monitor import _census, _ledger, _log, _span

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.clock import Clock
    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, WriteTx
    from kilter.contracts.monitor import DeploymentHealth
    from kilter.contracts.scoring import Auditor, IdSource, VersionBook
    from kilter.measures.profile import WindowProfile
    from kilter.policy.alerts import Change
    from kilter.policy.judgement import History

_MOST_WINDOWS = 200


@dataclass(frozen=True, slots=True)
class _Closing:
    """One version's part of a window that is about to be closed."""

    window: Window
    evidence: tuple[signals.Evidence, ...]
    reference: ReferenceProfile | None


class Monitor:
    """Watches deployments in windows of the prediction log.

    Guarantees: idempotent: a window is closed once and its labels count once, each in one transaction
    with its signals, alerts, events and audit rows, so a tick may be killed anywhere and repeated. A
    tick reads new windows and those that wait for labels, never the history. One tick at a time per
    deployment; keeps nothing in memory that matters.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        blobs: BlobStore,
        table: PredictionTable,
        versions: VersionBook,
        auditor: Auditor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._log = _log.LogReader(metadata, table)
        self._ledger = _ledger.Ledger(blobs, auditor, ids)
        self._census = _census.Census(self._log, blobs, versions)
        self._spans = _span.Spans(metadata, self._log, clock)
        self._looked: dict[str, float] = {}

    def tick(self, deployment: str, now: datetime) -> MonitorTick:
        """Close the windows that are due, and take in the labels that are complete enough.

        Parameters
        ----------
        deployment : str
            Its name.
        now : datetime
            Aware; every record before it must be in committed parts.

        Returns
        -------
        MonitorTick
            What changed. At most 200 windows are closed at once; the next tick goes on.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If a store fails; nothing of the window at work is kept.
        ChecksumMismatch
            If the version's reference profile is damaged.
        """
        live = self._live(deployment)
        changes = [*self._supersede(live, now)]
        closed = matured = 0
        while closed < _MOST_WINDOWS and (span := self._spans.due(live, now)) is not None:
            changes += self._close(live, span, now)
            closed += 1
        for window in self._metadata.read(lambda tx: _ledger.waiting(tx, deployment)):
            found = self._mature(live, window, now)
            matured += found is not None
            changes += found or ()
        return MonitorTick(
            deployment=deployment,
            closed=closed,
            matured=matured,
            opened=_ids(changes, "opened"),
            updated=_ids(changes, "updated"),
            resolved=_ids(changes, "closed"),
        )

    def headline(self, deployment: str) -> DeploymentHealth:
        """Say in one word and one sentence how a deployment is.

        Parameters
        ----------
        deployment : str
            Its name.

        Returns
        -------
        DeploymentHealth
            State, sentence, since when, next step, rows still needed.

        Raises
        ------
        NotFound
            If there is no such deployment.
        """
        live = self._live(deployment)
        number = live.champion
        known = self._metadata.read(lambda tx: _ledger.history(tx, deployment, number or 0))
        reference = self._census.watch(deployment, number).reference if number is not None else None
        return health(
            deployment,
            champion=number,
            windows=known.windows,
            mature=known.mature,
            alerts=[alert for alert in known.alerts if alert.number == number],
            reference_rows=reference.rows if reference else 0,
            spec=live.spec.monitor,
            filling=Filling() if known.windows or number is None else self._spans.filling(live, number),
            elsewhere=self._spans.elsewhere(known.windows[0]) if known.windows else 0,
        )

    def _live(self, deployment: str) -> Deployment:
        """Return the deployment's live state."""
        live = self._metadata.read(lambda tx: tx.get(Deployment, deployment))
        if live is None:
            msg = f"there is no deployment `{deployment}`"
            raise NotFound(msg, hint="list them with `kilter status`")
        return live

    def _supersede(self, live: Deployment, now: datetime) -> tuple[Change, ...]:
        """Close the open alerts of versions that no longer answer."""
        number = live.champion
        alerts = self._metadata.read(lambda tx: _ledger.open_alerts(tx, live.id))
        if number is None or all(alert.number == number or alert.family == FOREIGN for alert in alerts):
            return ()
        return self._metadata.write(lambda tx: self._ledger.supersede(tx, live.id, number, now))

    # -- closing ----------------------------------------------------------------------------------

    def _close(self, live: Deployment, span: tuple[int, int, int], now: datetime) -> list[Change]:
        """Close one window: one record for each version that answered in it, all in one transaction."""
        start_ns, end_ns, rows = span
        failures = self._log.failures(_log.query(live.id, start_ns, end_ns))
        parts = [
            self._closing(live, number, profile, span=span, requests=failures.get(number, (0, 0)), now=now)
            for number, profile in sorted(
                self._census.profiles(live, start_ns, end_ns, rows, asked=failures.keys()).items()
            )
        ]

        def commit(tx: WriteTx) -> list[Change]:
            changes: list[Change] = []
            for part in parts:
                if tx.get(Window, part.window.id) is not None:
                    continue
                known = _ledger.history(tx, live.id, part.window.number)
                window = self._trusted(part, known, live, now)
                tx.add(window)
                facts: _ledger.Facts = {"window": window.id, "number": window.number, "rows": window.rows}
                self._ledger.tell(tx, "window.closed", live.id, facts, now)
                if part.reference is not None:
                    after = _ledger.with_window(known, window)
                    changes += self._ledger.judge(
                        tx, live, window, part.evidence, known=after, reference=part.reference, now=now
                    )
            return changes

        return self._metadata.write(commit)

    def _closing(
        self,
        live: Deployment,
        number: int,
        profile: WindowProfile | int,
        *,
        span: tuple[int, int, int],
        requests: tuple[int, int],
        now: datetime,
    ) -> _Closing:
        """Measure one version's part of a window."""
        start_ns, end_ns, _ = span
        reference = self._census.watch(live.id, number).reference
        readings: tuple[Reading, ...] = ()
        evidence: tuple[signals.Evidence, ...] = ()
        if isinstance(profile, int) or reference is None:
            rows, data = profile if isinstance(profile, int) else profile.rows, b""
            reason = "no_reference: the version was registered without reference data"
            readings = (Reading(metric="total_variation", subject="score", not_evaluated=reason),)
        else:
            rows, data = profile.rows, codec.encode(profile)
            readings = comparison.movement(reference, profile)
            evidence = signals.distribution(reference, profile, tolerance=live.spec.monitor.drift_tolerance)
        window = Window(
            id=f"{live.id}/{start_ns:020d}/{number:06d}",
            deployment=live.id,
            number=number,
            start_at=_log.moment(start_ns),
            end_at=_log.moment(end_ns),
            rows=rows,
            profile=self._blobs.put(data),
            readings=(*readings, *comparison.request_readings(*requests)),
            is_mature=rows == 0,
            coverage=LabelCoverage(predictions=rows, joined=0, pending=rows, missing=0),
            closed_at=now,
        )
        return _Closing(window, (*evidence, *signals.requests(*requests)), reference)

    def _trusted(self, part: _Closing, known: History, live: Deployment, now: datetime) -> Window:
        """Add whether the window's estimate may be believed."""
        window = part.window
        labelled = next((one for one in known.mature if one.coverage and one.coverage.joined), None)
        age = None
        if labelled is not None:
            age = (now - labelled.end_at).total_seconds() / self._horizon_s(live, known.mature)
        state, reason = trust(
            window.readings,
            known.mature,
            reference_rows=part.reference.rows if part.reference else 0,
            open_families={alert.family for alert in known.alerts if alert.number == window.number},
            since_label_horizons=age,
        )
        return replace(window, trust=state, trust_reason=reason)

    # -- labels -----------------------------------------------------------------------------------

    def _mature(self, live: Deployment, window: Window, now: datetime) -> tuple[Change, ...] | None:
        """Look at a waiting window's labels; None if it still waits."""
        mature = self._metadata.read(lambda tx: _ledger.mature_windows(tx, live.id, window.number, 20))
        horizon_s = self._horizon_s(live, mature)
        age_s = (now - window.end_at).total_seconds()
        again_s = windows.check_again_s(age_s, window_s=live.spec.monitor.window_s)
        if age_s < horizon_s and age_s - self._looked.get(window.id, -again_s) < again_s:
            return None
        self._looked[window.id] = age_s
        watched = self._census.watch(live.id, window.number)
        query = _log.query(live.id, _log.nanoseconds(window.start_at), _log.nanoseconds(window.end_at))
        joined = self._log.rows(replace(query, versions=(window.number,), labelled_until_ns=_log.nanoseconds(now)))
        labels = label_indexes(watched.version.manifest.signature, joined.labels)
        coverage = _log.coverage(joined, labels, is_over=age_s >= horizon_s)
        if not windows.is_mature(coverage, age_s=age_s, horizon_s=horizon_s):
            self._note(window, coverage)
            return None
        self._looked.pop(window.id, None)
        scores, called = _log.answers(watched.version, joined, np.arange(joined.n))
        done = replace(window, coverage=coverage)
        return self._count_labels(live, done, watched, answers=(scores, called, labels), now=now)

    def _count_labels(
        self,
        live: Deployment,
        window: Window,
        watched: _census.Watched,
        *,
        answers: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        now: datetime,
    ) -> tuple[Change, ...]:
        """Let the labels of a window count, once."""
        scores, called, labels = answers
        manifest, reference = watched.version.manifest, watched.reference
        known = np.isfinite(labels)
        realised = comparison.realised(manifest.signature, scores, labels, threshold=manifest.threshold)
        evidence: tuple[signals.Evidence, ...] = ()
        digest = window.profile
        if reference is not None:
            rows = (scores[known], called[known], labels[known])
            evidence = signals.outcome(manifest.signature, reference, *rows, spec=live.spec.monitor)
            counts = codec.decode(self._blobs.get(window.profile), reference)
            digest = self._blobs.put(codec.encode(counting.labelled(counts, reference, scores, called, labels)))

        def commit(tx: WriteTx) -> tuple[Change, ...]:
            stored = tx.get(Window, window.id)
            if stored is None or stored.is_mature:
                return ()
            done = replace(
                stored,
                is_mature=True,
                coverage=window.coverage,
                realised=realised,
                profile=digest,
                version=stored.version + 1,
            )
            before = _ledger.history(tx, live.id, window.number)
            tx.replace(done)
            facts: _ledger.Facts = {"window": done.id, "number": done.number, "labels": int(known.sum())}
            self._ledger.tell(tx, "window.matured", live.id, facts, now)
            if reference is None:
                return ()
            after = _ledger.with_window(before, done)
            return self._ledger.judge(tx, live, done, evidence, known=after, reference=reference, now=now)

        return self._metadata.write(commit)

    def _note(self, window: Window, coverage: LabelCoverage) -> None:
        """Store how many labels a waiting window has, if that changed."""

        def commit(tx: WriteTx) -> None:
            stored = tx.get(Window, window.id)
            if stored is not None and not stored.is_mature:
                tx.replace(replace(stored, coverage=coverage, version=stored.version + 1))

        if window.coverage != coverage:
            self._metadata.write(commit)

    @staticmethod
    def _horizon_s(live: Deployment, mature: tuple[Window, ...]) -> float:
        """Return the age at which windows stop waiting for labels."""
        delays = [one.coverage.delay_p95_s for one in mature[:20] if one.coverage and one.coverage.delay_p95_s]
        return windows.horizon_s(live.spec.data.label_delay_s, delays, window_s=live.spec.monitor.window_s)


def _ids(changes: list[Change], kind: str) -> tuple[str, ...]:
    """Return the alerts that changed in this way."""
    return tuple(dict.fromkeys(change.alert.id for change in changes if change.kind == kind))
