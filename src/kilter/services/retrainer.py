"""Repair: from an alert to a decision, from a decision to its command."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision, OutboxEvent
from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import DecisionId
from kilter.contracts.monitor import Alert
from kilter.contracts.rollout import Rollout
from kilter.contracts.trigger import Trigger
from kilter.errors import Conflict, NotFound, Refused
from kilter.measures.profile.codec import decode_reference
from kilter.policy.repair import Reference, Repair, Rung, choose
from kilter.policy.triggers import Answer, Permission, decide, is_wanted

if TYPE_CHECKING:
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.clock import Clock
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.scoring import Auditor, IdSource, VersionBook
    from kilter.contracts.trigger import Recalibration, Training

    Detail = dict[str, str | int | float | bool | None]

__all__ = ["Retrainer"]

_PAGE = 5_000
_REPAIR = "repair"
_ALERTS = ("alert.opened", "alert.updated")
_DECIDED = "decision.made"


class Retrainer:
    """Decides on repairs and carries them out.

    Guarantees: an event delivered twice gives one decision (by its key) and one effect (by the id that
    follows from the decision); a decision, its audit row and its outbox event are one transaction. A
    repair that may not be taken now is recorded once per alert and reason, and looked at again with the
    alert's next update.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        blobs: BlobStore,
        versions: VersionBook,
        recalibration: Recalibration,
        training: Training,
        auditor: Auditor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._versions = versions
        self._recalibration = recalibration
        self._training = training
        self._auditor = auditor
        self._clock = clock
        self._ids = ids

    def respond(self, event: OutboxEvent, now: datetime) -> Decision | None:
        """Answer one event of the outbox; events of other topics are not for this service.

        Parameters
        ----------
        event : OutboxEvent
            ``alert.opened``, ``alert.updated`` or ``decision.made``.
        now : datetime
            The time of delivery.

        Returns
        -------
        Decision or None
            The decision made or carried out.

        Raises
        ------
        StoreError
            If a store cannot be reached; the event is delivered again.
        """
        if event.topic in _ALERTS:
            alert_id = str(event.payload.get("alert", ""))
            alert = self._metadata.read(lambda tx: tx.get(Alert, alert_id))
            return None if alert is None or alert.closed_at is not None else self._consider(alert, event.id, now)
        if event.topic == _DECIDED:
            decision_id = str(event.payload.get("decision", ""))
            decision = self._metadata.read(lambda tx: tx.get(Decision, decision_id))
            if decision is not None:
                self._carry_out(decision, now)
            return decision
        return None

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        """Take the open retraining request one step further; see ``Training.tick``."""
        return self._training.tick(deployment, now)

    def recalibrate(self, deployment: str, *, by: str) -> Decision:
        """Recalibrate now, by a person's decision.

        Parameters
        ----------
        deployment : str
            Its name.
        by : str
            Who asks.

        Returns
        -------
        Decision
            Recorded before it is carried out.

        Raises
        ------
        Inconclusive
            If labels are too few, or it would not have helped.
        OnHold, Conflict
            If its rollout is refused.
        """
        decision = self._by_hand(deployment, Rung.RECALIBRATE, by, f"recalibration asked for by {by}")
        self._recalibration.recalibrate(deployment, since=None, until=decision.at, by=by, reason=decision.reason)
        return decision

    def retrain(self, deployment: str, *, by: str, reason: str) -> Trigger:
        """Retrain now, by a person's decision; budget and cool-down do not apply.

        Parameters
        ----------
        deployment : str
            Its name.
        by, reason : str
            Who, and why.

        Returns
        -------
        Trigger
            The request; ``tick`` takes it further.

        Raises
        ------
        InvalidRequest
            If no training command is set.
        Inconclusive
            If there are too few labelled rows to learn from.
        """
        decision = self._by_hand(deployment, Rung.REFIT, by, reason or f"retraining asked for by {by}")
        return self._training.request(decision, now=decision.at)

    def _consider(self, alert: Alert, event_id: str, now: datetime) -> Decision | None:
        """Choose a repair for an alert, ask whether it may be taken, and record the answer."""
        made = self._metadata.read(lambda tx: tx.list(Decision, where={"key": event_id}, limit=1))
        if made:
            return made[0]
        state = self._metadata.read(lambda tx: tx.get(Deployment, alert.deployment))
        if state is None or not is_wanted(alert.family, alert.severity, state.spec.retrain):
            return None
        replay = self._recalibration.simulate(alert.deployment, since=alert.since, until=now)
        repair = choose(
            family=alert.family,
            suggestion=alert.suggestion,
            spec=state.spec.retrain,
            simulation=replay,
            reference=self._reference(state),
        )
        labels = self._training.labels(alert.deployment, now) if repair.rung is Rung.REFIT else 0
        permission = self._metadata.read(lambda tx: _permission(tx, state, repair, labels, now))
        is_go = permission.answer is Answer.GO
        decision = Decision(
            id=DecisionId(self._ids.new("dec")),
            key=event_id if is_go else f"{alert.id}/{repair.rung}/{permission.code}",
            deployment=alert.deployment,
            kind=_REPAIR if is_go else permission.answer,
            reason=repair.reason if is_go else f"{permission.reason}; {repair.reason}",
            command=repair.rung if is_go else "",
            arguments={"alert": alert.id, "since": alert.since.isoformat(), "rung": repair.rung},
            evidence=(alert.id,),
            at=now,
        )
        return self._record(decision)

    def _record(self, decision: Decision) -> Decision:
        """Write a decision once; the same key returns the one that was made."""

        def write(tx: WriteTx) -> Decision:
            made = tx.list(Decision, where={"key": decision.key}, limit=1)
            if made:
                return made[0]
            tx.add(decision)
            detail: Detail = {"decision": decision.id, "command": decision.command, "reason": decision.reason}
            self._auditor.record(
                tx, by=decision.by, action=f"decision.{decision.kind}", subject=decision.deployment, detail=detail
            )
            if decision.command and decision.by == "policy":
                tx.add(
                    OutboxEvent(
                        id=self._ids.new("evt"),
                        topic=_DECIDED,
                        subject=decision.deployment,
                        payload={
                            "deployment": decision.deployment,
                            "decision": decision.id,
                            "command": decision.command,
                        },
                        created_at=decision.at,
                        available_at=decision.at,
                    )
                )
            return decision

        return self._metadata.write(write)

    def _carry_out(self, decision: Decision, now: datetime) -> None:
        """Run a decision's one command; a refusal is an outcome, not a failure of delivery."""
        try:
            if decision.command == Rung.RECALIBRATE:
                since = datetime.fromisoformat(str(decision.arguments["since"]))
                self._recalibration.recalibrate(
                    decision.deployment, since=since, until=decision.at, by=decision.by, reason=decision.reason
                )
            elif decision.command == Rung.REFIT:
                self._training.request(decision, now=now)
        except (Refused, Conflict) as refusal:
            why = f"{refusal.message}: {refusal.why}" if refusal.why else refusal.message
            detail: Detail = {"decision": decision.id, "command": decision.command, "reason": why}
            self._metadata.write(
                lambda tx: self._auditor.record(
                    tx, by=decision.by, action="repair.refused", subject=decision.deployment, detail=detail
                )
            )

    def _by_hand(self, deployment: str, rung: Rung, by: str, reason: str) -> Decision:
        """Record a person's decision."""
        if self._metadata.read(lambda tx: tx.get(Deployment, deployment)) is None:
            message = f"no deployment `{deployment}`"
            raise NotFound(message, hint="see the deployments with `kilter status`")
        decision_id = DecisionId(self._ids.new("dec"))
        decision = Decision(
            id=decision_id,
            key=decision_id,
            deployment=deployment,
            kind=_REPAIR,
            reason=reason,
            command=rung,
            by=by,
            at=self._clock.now(),
        )
        return self._record(decision)

    def _reference(self, state: Deployment) -> Reference:
        """Return what the weights could do when they were accepted, from the oldest profile of their line."""
        tolerances = (state.spec.monitor.loss_tolerance_absolute, state.spec.monitor.loss_tolerance_relative)
        version = self._versions.resolve(f"{state.spec.model.name}@{state.champion}")
        while version.origin == "recalibrated" and version.parent_number is not None:
            version = self._versions.resolve(f"{state.spec.model.name}@{version.parent_number}")
        manifest = version.manifest
        if not manifest.profile_file:
            return Reference(loss=None, auc=None, tolerance=tolerances[0])
        metrics = decode_reference(self._blobs.get(manifest.entry(manifest.profile_file).digest)).metrics
        loss, auc = metrics.get("brier_score_loss"), metrics.get("roc_auc_score")
        return Reference(
            loss=None if loss is None else loss.value,
            auc=None if auc is None else auc.value,
            tolerance=max(tolerances[0], tolerances[1] * (0.0 if loss is None else loss.value)),
        )


def _permission(tx: ReadTx, state: Deployment, repair: Repair, labels: int, now: datetime) -> Permission:
    """Gather the facts that the rules ask for."""
    where = {"deployment": state.id}
    decisions = tx.list(Decision, where={**where, "kind": _REPAIR}, limit=1, newest_first=True)
    return decide(
        repair.rung,
        state.spec.retrain,
        now=now,
        triggers=tx.list(Trigger, where=where, limit=_PAGE),
        last_repair_at=decisions[0].at if decisions else None,
        has_open_rollout=bool(tx.list(Rollout, where={**where, "finished_at": None}, limit=1)),
        labels=labels,
    )
