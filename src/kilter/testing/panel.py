"""A stand-in for the App behind faces: real stores and evidence, services that only write down what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.ids import DecisionId, Digest
from kilter.contracts.log import JoinedRows, LogPart
from kilter.contracts.metadata import MetadataStore
from kilter.contracts.monitor import Alert, DeploymentHealth, HealthState, Severity, TrustState
from kilter.contracts.plan import DeploymentStatus
from kilter.contracts.prediction import Arm, PredictionRecord, RecordKind
from kilter.contracts.rollout import Rollout
from kilter.contracts.route import Route, RouteVariant
from kilter.control.lease import Fence
from kilter.errors import AlreadyFinal
from kilter.services.governance import Governance
from kilter.settings.tree import ProjectSettings, Settings
from kilter.stores.clock import UuidSource
from kilter.stores.memory import MemoryBlobs, MemoryMetadata
from kilter.testing import project
from kilter.testing.year import END, NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.log import RowQuery


__all__ = ["PREDICTION", "GivenClock", "Panel", "panel"]

PREDICTION = "01912d68-0000-7000-8000-000000000001"


@dataclass(slots=True)
class GivenClock:
    """A clock that a test sets."""

    at: datetime

    def now(self) -> datetime:
        """Return the time."""
        return self.at

    def time_ns(self) -> int:
        """Return the time in nanoseconds."""
        return int(self.at.timestamp() * 1_000_000) * 1_000

    def pass_(self, **stretch: float) -> None:
        """Let time pass, as ``timedelta`` takes it."""
        self.at += timedelta(**stretch)


@dataclass(slots=True)
class _Watch:
    """Says how deployments are, from their alerts alone."""

    metadata: MetadataStore

    def headline(self, deployment: str) -> DeploymentHealth:
        """Return a state."""
        where = {"deployment": deployment, "closed_at": None}
        alerts = self.metadata.read(lambda tx: tx.list(Alert, where=where, newest_first=True))
        state, sentence, step, rows = (
            HealthState.FINE,
            "Right 78 of 100 times (74 to 82), as good as when it was accepted",
            "",
            0,
        )
        if deployment == "churn":
            state, sentence, rows = (
                HealthState.UNKNOWN,
                "62 of the 500 predictions that a first look needs have come in",
                438,
            )
            step = "send predictions, and labels as they become known"
        elif alerts and alerts[0].severity is Severity.PAGE:
            state, sentence, step = HealthState.STOPPED, alerts[0].headline, "fix the feed, or roll back"
        elif alerts:
            state, sentence = (
                HealthState.WATCH,
                "Right 78 of 100 times (74 to 82); the inputs have changed, without harm so far",
            )
            step = "nothing to do; kilter looks again with the next window"
        since = alerts[0].since if alerts else None
        return DeploymentHealth(
            deployment=deployment,
            state=state,
            sentence=sentence,
            next_step=step,
            since=since,
            rows_needed=rows,
            trust=TrustState.TRUSTED,
        )


@dataclass(slots=True)
class _Desk:
    """Answers as deployer and retrainer, and keeps what it was asked."""

    metadata: MetadataStore
    clock: GivenClock
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def status(self, deployment: str) -> DeploymentStatus:
        """Return what the records say."""

        def read(tx: object) -> DeploymentStatus:
            record = tx.get(Deployment, deployment)  # type: ignore[attr-defined]
            rollouts = tx.list(Rollout, where={"deployment": deployment}, newest_first=True, limit=1)  # type: ignore[attr-defined]
            holds = tx.list(Hold, where={"deployment": deployment, "released_at": None})  # type: ignore[attr-defined]
            rollout = rollouts[0] if rollouts else None
            open_ = rollout if rollout is not None and not rollout.state.is_final else None
            route = Route(
                deployment=deployment,
                champion=RouteVariant(version=record.champion or 1, digest=Digest("sha256:" + "0" * 64)),
                challenger=RouteVariant(version=open_.candidate, digest=Digest("sha256:" + "1" * 64))
                if open_ is not None
                else None,
                weight=open_.weight if open_ is not None else 0,
            )
            return DeploymentStatus(
                deployment=record,
                rollout=rollout,
                holds=holds,
                route=route,
                generation=record.generation,
                is_settled=True,
            )

        return self.metadata.read(read)

    def rollback(self, deployment: str, *, to: int | None = None, by: str, reason: str) -> Deployment:
        """Note the order."""
        self.asked.append(("rollback", deployment, str(to), by, reason))
        return self.status(deployment).deployment

    def promote(self, deployment: str, *, by: str, reason: str = "") -> Rollout:
        """Note the order."""
        self.asked.append(("promote", deployment, by, reason))
        return self._rollout(deployment)

    def resume(self, deployment: str, *, by: str) -> Rollout:
        """Note the order."""
        self.asked.append(("resume", deployment, by))
        return self._rollout(deployment)

    def abort(self, deployment: str, *, by: str, reason: str, hold: bool = False) -> Rollout:
        """Note the order."""
        self.asked.append(("abort", deployment, by, reason, str(hold)))
        return self._rollout(deployment)

    def recalibrate(self, deployment: str, *, by: str) -> Decision:
        """Note the order."""
        self.asked.append(("recalibrate", deployment, by))
        return Decision(
            id=DecisionId("decision_9"),
            key="k",
            deployment=deployment,
            kind="repair",
            reason="asked",
            command="recalibrate",
            by=by,
            at=self.clock.now(),
        )

    def retrain(self, deployment: str, *, by: str, reason: str) -> Decision:
        """Note the order."""
        self.asked.append(("retrain", deployment, by, reason))
        return Decision(
            id=DecisionId("decision_8"),
            key="k2",
            deployment=deployment,
            kind="repair",
            reason=reason,
            command="retrain",
            by=by,
            at=self.clock.now(),
        )

    def _rollout(self, deployment: str) -> Rollout:
        """Return the latest rollout."""
        rollout = self.status(deployment).rollout
        if rollout is None:
            message = f"no rollout of `{deployment}` is open"
            raise AlreadyFinal(message, hint="start one with `kilter apply`")
        return rollout


class _Table:
    """Knows one prediction."""

    def find(self, parts: Sequence[LogPart], prediction_id: str) -> PredictionRecord | None:
        """Return it, if it is asked for."""
        if not prediction_id.startswith(PREDICTION) or not parts:
            return None
        return PredictionRecord(
            kind=RecordKind.PREDICTION,
            prediction_id=PREDICTION,
            ts_ns=parts[0].min_ts_ns,
            deployment=NAME,
            version=3,
            digest="sha256:" + "0" * 64,
            generation=17,
            arm=Arm.CHAMPION,
            propensity=1.0,
            face="http",
            rows=1,
            numeric=b"",
            text=(),
            raw=b"",
            outputs=b"",
            threshold=0.5,
            key=1,
            total_us=840,
        )

    def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
        """Return its only row."""
        texts = {"weather": np.array(["rain"], dtype=object)}
        numbers = {"temp": np.array([0.71]), "hour": np.array([17.0]), "humidity": np.array([np.nan])}
        return JoinedRows(
            n=1,
            ids=np.array([f"{PREDICTION}:0"], dtype=object),
            parent_ids=np.array([""], dtype=object),
            ts_ns=np.array([query.start_ns]),
            version=np.array([3]),
            arm=np.array(["champion"], dtype=object),
            key=np.array([1], dtype=np.uint64),
            raw=np.array([[0.2, 0.8]]),
            scores=np.array([[0.17, 0.83]]),
            threshold=np.array([0.5]),
            labels=np.array(["yes"], dtype=object),
            label_ns=np.array([parts[0].max_ts_ns]),
            total_us=np.array([840]),
            flags=np.array([0]),
            columns={**numbers, **texts},
        )


class Panel(SimpleNamespace):
    """Has the App's attributes that faces use."""


def panel(*, is_filled: bool = True) -> Panel:
    """Return a stand-in for the App, with a project in it or empty.

    Raises
    ------
    Nothing
    """
    metadata, blobs, clock = Fence(MemoryMetadata()), MemoryBlobs(), GivenClock(END)
    governance = Governance(metadata=metadata, clock=clock)
    desk = _Desk(metadata, clock)
    filled = project.fill(metadata, blobs) if is_filled else project.Project()
    if is_filled:
        at = clock.time_ns() - 10**9
        part = LogPart(
            id="part_1",
            deployment=NAME,
            kind="prediction",
            date="2012-12-31",
            path="p",
            rows=1,
            size_bytes=1,
            min_ts_ns=at,
            max_ts_ns=at,
            created_at=clock.now(),
        )

        def note(tx: object) -> None:
            tx.add(part)  # type: ignore[attr-defined]
            for action, subject, detail in (
                ("model.added", NAME, {"risk": "limited"}),
                ("version.registered", NAME, {"number": 1, "runtime": "onnx"}),
                ("gate.run", NAME, {"number": 1, "state": "pass", "rows": 2400}),
                (
                    "alert.opened",
                    NAME,
                    {"alert": "alert_001", "headline": "Chances are off by 12.4 % on average"},
                ),
                (
                    "decision.made",
                    NAME,
                    {"command": "recalibrate", "reason": "Ranking holds while chances are off"},
                ),
                ("rollout.started", NAME, {"candidate": 2, "reason": "recalibrated version 1"}),
                ("rollout.done", NAME, {"candidate": 2, "reason": "All steps passed"}),
                ("alert.opened", "late-payment", {"alert": "alert_003", "headline": "38 of 100 requests fail"}),
            ):
                governance.record(tx, by="policy", action=action, subject=subject, detail=detail)  # type: ignore[arg-type]

        metadata.write(note)
    return Panel(
        settings=Settings(project=ProjectSettings(name="city bikes")),
        metadata=metadata,
        blobs=blobs,
        governance=governance,
        monitor=_Watch(metadata),
        deployer=desk,
        retrainer=desk,
        table=_Table(),
        clock=clock,
        machine=clock,
        ids=UuidSource(clock),
        filled=filled,
    )
