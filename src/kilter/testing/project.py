"""A project full of records, as months of work leave them: for tests and pictures of faces."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.ids import AlertId, DecisionId, Digest, ModelId, RolloutId
from kilter.contracts.metadata import Record
from kilter.contracts.model import Model
from kilter.contracts.monitor import Alert, Severity
from kilter.contracts.rollout import HarmProcess, Rollout, RolloutState, RolloutStep
from kilter.contracts.spec import DeploymentSpec, ModelSpec
from kilter.contracts.verdict import GateRule
from kilter.testing import year
from kilter.testing.year import END, NAME, START, WINDOW

if TYPE_CHECKING:
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.metadata import MetadataStore

__all__ = ["Project", "fill"]


@dataclass(slots=True)
class Project:
    """What was put into a store, for tests to name."""

    deployment: str = NAME
    open_alert: str = ""
    open_rollout: str = ""
    records: list[Record] = field(default_factory=list)

    def add(self, *records: Record) -> None:
        """Keep records until all are written."""
        self.records.extend(records)


def fill(metadata: MetadataStore, blobs: BlobStore) -> Project:
    """Put a project's records into a store.

    Parameters
    ----------
    metadata, blobs : ports
        Where they go.

    Returns
    -------
    Project
        Names of what was made: one deployment with a year behind it, one that waits for data, one in
        trouble, and one model that nobody has deployed.

    Raises
    ------
    StoreError
        If a store fails.
    """
    project = Project()
    profile_file, versions = year.versions(blobs)
    project.add(*versions, *year.windows(blobs, profile_file))
    _alerts(project)
    _rollouts(project)
    _others(project)

    def write(tx: object) -> None:
        for record in project.records:
            tx.add(record)  # type: ignore[attr-defined]

    metadata.write(write)
    return project


def _alerts(project: Project) -> None:
    """Add a closed page, an open notice, and the decisions that followed."""
    since = START + WINDOW * 10
    harm = Alert(
        id=AlertId("alert_001"),
        deployment=NAME,
        number=1,
        family="calibration",
        severity=Severity.PAGE,
        headline="Chances are off by 12.4 % on average (9.8 % to 15.1 %), 333 labels",
        since=since,
        window=11,
        log_evidence=7.9,
        log_threshold=6.5,
        causes=("temp: 24 of 100 rows have moved", "weather: rain 1.8 times as common"),
        suggestion="recalibrate",
        opened_at=since + WINDOW,
        updated_at=since + WINDOW * 3,
        repeats=1,
        closed_at=since + WINDOW * 3,
        closed_reason="superseded by version 2",
    )
    notice_at = END - WINDOW * 2
    notice = Alert(
        id=AlertId("alert_002"),
        deployment=NAME,
        number=3,
        family="feature_drift",
        severity=Severity.NOTICE,
        headline="Inputs look different: temp, weather",
        since=notice_at,
        window=24,
        log_evidence=5.4,
        log_threshold=5.0,
        causes=("temp: 36 of 100 rows have moved", "humidity: missing in 12 of 100 rows, 2 of 100 before"),
        suggestion="look",
        opened_at=notice_at,
        updated_at=notice_at,
    )
    project.open_alert = notice.id
    decided = Decision(
        id=DecisionId("decision_001"),
        key="calibration/alert_001",
        deployment=NAME,
        kind="repair",
        reason="Ranking holds (ROC AUC 0.86, 0.84 before) while chances are off: a new map is the cheapest repair",
        command="recalibrate",
        evidence=("alert_001",),
        at=harm.opened_at + timedelta(minutes=1),
    )
    skipped = Decision(
        id=DecisionId("decision_002"),
        key="feature_drift/alert_002",
        deployment=NAME,
        kind="trigger",
        reason="Drift alone is no harm: accuracy is within tolerance, so nothing is done",
        command="",
        evidence=("alert_002",),
        at=notice_at + timedelta(minutes=1),
    )
    project.add(harm, notice, decided, skipped)


def _rollouts(project: Project) -> None:
    """Add a finished, a rolled back and an open rollout, with a hold, and the deployment they are of."""
    spec = DeploymentSpec(
        model=ModelSpec(name=NAME, source="models/bike.joblib", target="busy"),
        gates=(GateRule(metric="accuracy_score", min=0.7),),
    )
    done = _rollout(
        "rollout_001", 1, 2, RolloutState.DONE, 12, reason="All steps passed; version 2 is live", weight=10_000
    )
    bad = _rollout(
        "rollout_002",
        3,
        4,
        RolloutState.ROLLED_BACK,
        23,
        reason="Losses of version 4 are higher by more than the margin (evidence 2,310 to 1)",
        weight=0,
    )
    now = _rollout(
        "rollout_003",
        3,
        5,
        RolloutState.CANARY,
        24,
        reason="No harm seen in 412 pairs; waiting for 500 requests in this step",
        weight=2_500,
    )
    project.open_rollout = now.id
    hold = Hold(
        id="hold_001",
        deployment=NAME,
        number=4,
        digest=Digest("sha256:" + "4" * 64),
        reason="rolled back: losses too high",
        metric="loss",
        evidence=("rollout_002",),
        created_at=bad.started_at,
        created_by="policy",
    )
    live = Deployment(
        id=NAME,
        spec=spec,
        champion=3,
        previous=2,
        generation=17,
        created_at=START,
        updated_at=END,
        monitored_until=END,
    )
    project.add(done, bad, now, *_steps(now), hold, live)


def _steps(now: Rollout) -> list[Record]:
    """Make the steps of the open rollout."""
    made: list[Record] = []
    steps = [
        ("planned", "warming", 0, 0, "Version 5 passed its gates"),
        ("warming", "canary", 0, 100, "All serving processes have loaded it and agree with the recorded answers"),
        ("canary", "canary", 1, 500, "500 requests and 30 minutes without harm"),
        ("canary", "canary", 2, 2_500, "500 requests and 30 minutes without harm"),
    ]
    for order, (before, after, step, weight, reason) in enumerate(steps):
        at = now.started_at + timedelta(hours=6 * order)
        made.append(
            RolloutStep(
                id=f"step_{order}",
                rollout_id=now.id,
                deployment=NAME,
                from_state=before,
                to_state=after,
                step=step,
                weight=weight,
                event="tick",
                reason=reason,
                at=at,
            )
        )
    return made


def _rollout(
    name: str, champion: int, candidate: int, state: RolloutState, window_index: int, *, reason: str, weight: int
) -> Rollout:
    """Make one rollout."""
    at = START + WINDOW * window_index
    return Rollout(
        id=RolloutId(name),
        deployment=NAME,
        champion=champion,
        candidate=candidate,
        spec=DeploymentSpec(model=ModelSpec(name=NAME, source="x")).rollout,
        state=state,
        step=4 if state is RolloutState.DONE else 2,
        weight=weight,
        salt="s",
        started_at=at,
        step_started_at=at,
        evidence_until=at,
        processes=(HarmProcess(metric="loss", n=412, sum=-3.1, sum_squares=40.0),),
        units_candidate=412,
        units_control=1_236,
        reason=reason,
        origin="recalibrated" if candidate == 2 else "retrained",
        finished_at=at + timedelta(days=3) if state.is_final else None,
    )


def _others(project: Project) -> None:
    """Add a deployment without data, one in trouble, and a model that is not deployed."""
    for name, champion in (("churn", 1), ("late-payment", 7)):
        project.add(
            Model(id=ModelId(f"model_{name}"), name=name, created_at=START),
            Deployment(
                id=name,
                spec=DeploymentSpec(model=ModelSpec(name=name, source=f"{name}.onnx")),
                champion=champion,
                previous=champion - 1 or None,
                generation=17,
                created_at=START,
                updated_at=END,
                monitored_until=END,
            ),
        )
    project.add(Model(id=ModelId("model_x"), name="energy", created_at=START))
    at = END - timedelta(hours=5)
    project.add(
        Alert(
            id=AlertId("alert_003"),
            deployment="late-payment",
            number=7,
            family="operational",
            severity=Severity.PAGE,
            headline="38 of 100 requests fail: the model refuses a column that came in as text",
            since=at,
            window=311,
            log_evidence=31.0,
            log_threshold=6.5,
            causes=("amount: 38 of 100 values are no numbers", "since the release of the shop at 06:40"),
            suggestion="fix the feed",
            opened_at=at,
            updated_at=END,
            repeats=4,
        )
    )
