"""Drives rollouts: evidence in, transitions out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.ids import DecisionId
from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.prediction import Arm
from kilter.contracts.rollout import ArmEvidence, Publication, Rollout, RolloutState
from kilter.errors import NotFound, StoreError
from kilter.policy.hold import holding, new_hold
from kilter.policy.pairing import Span, arm_losses, losses, scale_of, shadow_losses
from kilter.policy.rollout import Event, Transition, advance, step, step_row

if TYPE_CHECKING:
    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.rollout import RoutePublisher
    from kilter.contracts.route import Route, RouteStore, RouteTable
    from kilter.contracts.scoring import Auditor, IdSource, VersionBook

__all__ = ["Conductor"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOVES = 6
_PAGE = 5_000
_LOOK_BACK = timedelta(days=90)
_FEWEST_LABELS = 50
_ON_TRIAL = (RolloutState.SHADOW, RolloutState.CANARY, RolloutState.HELD)
_REFUSABLE = (RolloutState.WARMING, RolloutState.SHADOW, RolloutState.CANARY, RolloutState.PROMOTING)
_ACKNOWLEDGED = {
    RolloutState.WARMING: Event.READY,
    RolloutState.PROMOTING: Event.PUBLISHED,
    RolloutState.ROLLING_BACK: Event.PUBLISHED,
}
_FOREIGN = ("rollback", "reflex")
_POLICY = "policy"


class Conductor:
    """Implements ``RolloutDriver``.

    Guarantees: each transition is committed (with its step, audit row, decision and hold) before a
    table follows from it, and evidence is counted once, so a crash between any two steps, or a repeated
    tick, ends in the same state. One caller at a time per deployment; a second one meets ``Conflict``
    and changes nothing.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        routes: RouteStore,
        publisher: RoutePublisher,
        table: PredictionTable,
        versions: VersionBook,
        auditor: Auditor,
        ids: IdSource,
    ) -> None:
        self._metadata = metadata
        self._routes = routes
        self._publisher = publisher
        self._table = table
        self._versions = versions
        self._auditor = auditor
        self._ids = ids

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        """Judge, move and publish one deployment.

        Parameters
        ----------
        deployment : str
            Its name.
        now : datetime
            The time of the tick.

        Returns
        -------
        Rollout or None
            The open rollout, or the one that ended in this tick.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        self.adopt(now)
        rollout = self._open(deployment)
        if rollout is not None:
            rollout = self._judge(rollout, now)
        for _ in range(_MOVES):
            outcome = self._publisher.publish(deployment, rollout, now)
            followed = None if rollout is None else self._follow(rollout, outcome, now)
            if followed is rollout:
                break
            rollout = followed
        return rollout

    def adopt(self, now: datetime) -> tuple[str, ...]:
        """Take over a table that a person or the supervisor wrote while nobody was here.

        Parameters
        ----------
        now : datetime
            The time of the take-over.

        Returns
        -------
        tuple of str
            Deployments whose champion or rollout changed by it.

        Raises
        ------
        StoreError
            If metadata or the route folder cannot be reached.
        """
        live = self._routes.live()
        if live is None or live.origin not in _FOREIGN:
            return ()
        return tuple(route.deployment for route in live.routes if self._adopt(route, live, now))

    def move(self, deployment: str, event: str, *, by: str, reason: str, now: datetime) -> Rollout:
        """Give the open rollout an event from a person.

        Parameters
        ----------
        deployment : str
            Its name.
        event : str
            ``promote``, ``resume``, ``abort`` (no blame) or ``reject`` (holds the version).
        by, reason : str
            Who, and why.
        now : datetime
            When.

        Returns
        -------
        Rollout
            After the event.

        Raises
        ------
        NotFound
            If no rollout is open.
        Conflict
            If the event means nothing in its state, or somebody else moved it first.
        """
        rollout = self._open(deployment)
        if rollout is None:
            message = f"no rollout of `{deployment}` is open"
            raise NotFound(message, hint=f"see what is live with `kilter status {deployment}`")
        return self._move(rollout, Event(event), reason, now, by=by)

    def _judge(self, rollout: Rollout, now: datetime) -> Rollout:
        """Start a planned rollout; count and judge one that is on trial."""
        if rollout.state is RolloutState.PLANNED:
            return self._commit(rollout, step(self._with_reference(rollout), Event.START, rollout.reason, now), now)
        is_late = now >= rollout.started_at + timedelta(seconds=rollout.spec.deadline_s)
        if rollout.state is RolloutState.WARMING and is_late:
            return self._move(rollout, Event.TIMEOUT, "not loaded by all serving processes before the deadline", now)
        if rollout.state not in _ON_TRIAL:
            return rollout
        live = self._routes.live()
        route = None if live is None else live.route(rollout.deployment)
        limit = None if route is None or route.rollout_id != rollout.id else route.judged_until
        if rollout.state is RolloutState.CANARY and limit is not None and limit < now:
            gap = f"unjudged: nobody judged the canary after {limit:%Y-%m-%d %H:%M:%S} UTC, so the champion answered"
            return self._move(rollout, Event.UNJUDGED, gap, now)
        try:
            evidence = self._evidence(rollout, now)
        except StoreError as error:
            if rollout.state is RolloutState.HELD:
                raise
            return self._move(rollout, Event.ERROR, f"evidence unreadable: {error.message}", now)
        return self._commit(rollout, advance(rollout, evidence, now), now)

    def _follow(self, rollout: Rollout, outcome: Publication, now: datetime) -> Rollout:
        """Let the rollout know that its table was offered, is in force, or was refused."""
        if rollout.state.is_final:
            return rollout
        if outcome.refusal and rollout.state in _REFUSABLE:
            return self._move(rollout, Event.REFUSED, f"refused by a serving process: {outcome.refusal}", now)
        event = _ACKNOWLEDGED.get(rollout.state)
        if outcome.is_in_force and event is not None:
            return self._move(rollout, event, rollout.reason or "loaded by all serving processes", now)
        if outcome.generation and not outcome.is_in_force:
            self._save(replace(rollout, generation=outcome.generation, version=rollout.version + 1))
        return rollout

    def _adopt(self, route: Route, live: RouteTable, now: datetime) -> bool:
        """Take over one route; say whether anything changed by it."""
        state = self._metadata.read(lambda tx: tx.get(Deployment, route.deployment))
        if state is None or state.generation >= live.generation:
            return False
        rollout = self._open(state.id)
        is_dropped = (
            rollout is not None
            and rollout.state in (*_ON_TRIAL, RolloutState.PROMOTING)
            and route.challenger is None
            and route.shadow is None
            and route.champion.version != rollout.candidate
        )
        if rollout is not None and is_dropped:
            self._move(rollout, Event.REJECT, live.reason, now, by=live.origin)
        is_moved = state.champion != route.champion.version
        after = replace(state, generation=live.generation, updated_at=now, version=state.version + 1)
        if is_moved:
            after = replace(after, champion=route.champion.version, previous=None)

        def write(tx: WriteTx) -> None:
            tx.replace(after)
            if is_moved and state.champion is not None:
                detail = {"from": state.champion, "to": after.champion, "reason": live.reason}
                self._auditor.record(tx, by=live.origin, action="rollback.adopted", subject=state.id, detail=detail)
                version = self._version(state.id, state.champion)
                self._hold(tx, version, state.id, live.reason, by=live.origin, now=now)

        self._metadata.write(write)
        return is_moved or is_dropped

    def _move(self, rollout: Rollout, event: Event, reason: str, now: datetime, *, by: str = _POLICY) -> Rollout:
        """Take one step of the table and commit it."""
        return self._commit(rollout, step(rollout, event, reason, now), now, by=by)

    def _commit(self, before: Rollout, transition: Transition, now: datetime, *, by: str = _POLICY) -> Rollout:
        """Write a transition with its step, audit row, decision and hold, all or nothing."""
        if transition.rollout == before:
            return before
        after = replace(transition.rollout, version=before.version + 1)
        if not transition.event:
            return self._save(after)

        def write(tx: WriteTx) -> None:
            tx.replace(after)
            tx.add(step_row(before, after, transition.event, now))
            detail = {"rollout": after.id, "from": before.state.value, "to": after.state.value, "reason": after.reason}
            self._auditor.record(
                tx, by=by, action=f"rollout.{transition.event}", subject=after.deployment, detail=detail
            )
            if after.state is RolloutState.ROLLING_BACK:
                self._decide(tx, after, by, now)
            if after.state is RolloutState.DONE:
                self._crown(tx, after, now)

        self._metadata.write(write)
        return after

    def _save(self, rollout: Rollout) -> Rollout:
        """Write a rollout whose state did not change."""
        self._metadata.write(lambda tx: tx.replace(rollout))
        return rollout

    def _decide(self, tx: WriteTx, rollout: Rollout, by: str, now: datetime) -> None:
        """Record the decision to roll back, and the hold if the version is to blame."""
        is_blamed = rollout.next_state == RolloutState.REJECTED
        decision = Decision(
            id=DecisionId(self._ids.new("dec")),
            key=f"rollback/{rollout.id}",
            deployment=rollout.deployment,
            kind="rollback",
            reason=rollout.reason,
            command="",
            arguments={"rollout": rollout.id, "version": rollout.candidate, "hold": is_blamed},
            evidence=(rollout.id,),
            by=by,
            at=now,
        )
        tx.add(decision)
        if is_blamed:
            version = self._version(rollout.deployment, rollout.candidate)
            self._hold(tx, version, rollout.deployment, rollout.reason, by=by, now=now, evidence=(rollout.id,))

    def _hold(
        self,
        tx: WriteTx,
        version: ModelVersion,
        deployment: str,
        reason: str,
        *,
        by: str,
        now: datetime,
        evidence: tuple[str, ...] = (),
    ) -> None:
        """Keep a rejected version out, once."""
        if holding(tx.list(Hold, where={"deployment": deployment}, limit=_PAGE), version.digest) is None:
            hold_id = self._ids.new("hold")
            tx.add(new_hold(hold_id, version, deployment=deployment, reason=reason, by=by, now=now, evidence=evidence))

    def _crown(self, tx: WriteTx, rollout: Rollout, now: datetime) -> None:
        """Make the candidate champion."""
        state = tx.get(Deployment, rollout.deployment)
        if state is not None:
            crowned = replace(state, champion=rollout.candidate, previous=rollout.champion, updated_at=now)
            tx.replace(replace(crowned, version=state.version + 1))

    def _open(self, deployment: str) -> Rollout | None:
        """Return the open rollout."""
        found = self._metadata.read(
            lambda tx: tx.list(Rollout, where={"deployment": deployment, "finished_at": None}, limit=1)
        )
        return found[0] if found else None

    def _version(self, deployment: str, number: int) -> ModelVersion:
        """Return a version of a deployment's model."""
        return self._versions.resolve(f"{deployment}@{number}")

    def _parts(self, deployment: str) -> tuple[LogPart, ...]:
        """Return all parts of the deployment's log."""
        where = {"deployment": deployment}
        pages = [self._metadata.read(partial(_page, where=where, after=None))]
        while len(pages[-1]) == _PAGE:
            pages.append(self._metadata.read(partial(_page, where=where, after=pages[-1][-1].id)))
        return tuple(part for page in pages for part in page)

    def _with_reference(self, rollout: Rollout) -> Rollout:
        """Freeze the champion's recent loss, of which the margin is a share, and the scale of a regression."""
        version = self._version(rollout.deployment, rollout.champion)
        signature = version.manifest.signature
        query = RowQuery(
            deployment=rollout.deployment,
            start_ns=_ns(rollout.started_at - _LOOK_BACK),
            end_ns=_ns(rollout.started_at),
            versions=(rollout.champion,),
            with_columns=False,
        )
        rows = self._table.rows(self._parts(rollout.deployment), query)
        scale = scale_of(signature, rows)
        known = losses(signature, rows, scale)
        known = known[~np.isnan(known)]
        reference = float(known.mean()) if known.size >= _FEWEST_LABELS else 0.0
        return replace(rollout, reference_loss=reference, loss_scale=scale)

    def _evidence(self, rollout: Rollout, now: datetime) -> ArmEvidence:
        """Gather what the log says since the last tick: counts by difference, losses by arrival of the label."""
        parts = self._parts(rollout.deployment)
        end_ns, since_ns = _ns(now), _ns(rollout.evidence_until)
        query = RowQuery(
            deployment=rollout.deployment,
            start_ns=_ns(rollout.started_at),
            end_ns=end_ns,
            rollout_id=rollout.id,
            labelled_until_ns=end_ns,
            with_columns=False,
        )
        requests: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        for count in self._table.failures(parts, query):
            requests[count.arm] += count.requests
            failures[count.arm] += count.failures
        rows = self._table.rows(parts, query)
        candidate = self._version(rollout.deployment, rollout.candidate).manifest.signature
        champion = self._version(rollout.deployment, rollout.champion).manifest.signature
        span = Span(since_ns=since_ns, until_ns=end_ns, scale=rollout.loss_scale)
        shadowed: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        if requests[Arm.SHADOW]:
            shadows = self._table.rows(parts, replace(query, kind="shadow"))
            shadowed = shadow_losses(champion, shadows, rows, span)
        return ArmEvidence(
            loss_candidate=shadowed[0] + arm_losses(candidate, rows, Arm.CHALLENGER, span),
            loss_control=shadowed[1] + arm_losses(champion, rows, Arm.CONTROL, span),
            requests_candidate=requests[Arm.CHALLENGER] + requests[Arm.SHADOW] - rollout.requests_candidate,
            requests_control=requests[Arm.CONTROL] + requests[Arm.SHADOW] - rollout.requests_control,
            failures_candidate=failures[Arm.CHALLENGER] + failures[Arm.SHADOW] - rollout.failures_candidate,
            failures_control=failures[Arm.CONTROL] - rollout.failures_control,
        )


def _page(tx: ReadTx, *, where: dict[str, str], after: str | None) -> tuple[LogPart, ...]:
    """Return one page of parts."""
    return tx.list(LogPart, where=where, after=after, limit=_PAGE)


def _ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
