"""Drives rollouts: evidence in, transitions out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.ids import DecisionId
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.errors import NotFound, StoreError
from kilter.policy.hold import holding, new_hold
from kilter.policy.rollout import Event, Transition, acknowledged, advance, step, step_row
from kilter.services.conductor._evidence import ArmReader

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.rollout import Publication, RoutePublisher
    from kilter.contracts.route import Route, RouteStore, RouteTable
    from kilter.contracts.scoring import Auditor, IdSource, VersionBook

    Detail = dict[str, str | int | float | bool | None]

__all__ = ["Conductor"]

_MOVES = 6
_PAGE = 5_000
_ON_TRIAL = (RolloutState.SHADOW, RolloutState.CANARY, RolloutState.HELD)
_REFUSABLE = (RolloutState.WARMING, RolloutState.SHADOW, RolloutState.CANARY, RolloutState.PROMOTING)
_FOREIGN = ("rollback", "reflex")
_POLICY = "policy"


class Conductor:
    """Implements ``RolloutDriver``.

    Guarantees: each transition is committed (with its step, audit row, decision and hold) before a
    table follows from it, and evidence is counted once, so a crash between any two steps, or a repeated
    tick, ends in the same state. Safe from several processes: a record that another caller changed
    meanwhile is never overwritten; what was judged on the older one is left to the next tick.
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
        self._arms = ArmReader(metadata=metadata, table=table, versions=versions)
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
        return self._publish(deployment, None if rollout is None else self._judge(rollout, now), now)

    def settle(self, deployment: str, now: datetime) -> Rollout | None:
        """Carry out what was decided, between two ticks: the log need not be complete up to ``now``.

        Parameters
        ----------
        deployment : str
            Its name.
        now : datetime
            The time of the call.

        Returns
        -------
        Rollout or None
            As for ``tick``; no evidence was counted and no verdict given.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        self.adopt(now)
        rollout = self._open(deployment)
        return self._publish(deployment, None if rollout is None else self._started(rollout, now), now)

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
            If the event means nothing in its state.
        """

        def write(tx: WriteTx) -> Rollout:
            rollout = _open(tx, deployment)
            if rollout is None:
                message = f"no rollout of `{deployment}` is open"
                raise NotFound(message, hint=f"see what is live with `kilter status {deployment}`")
            return self._write(tx, rollout, step(rollout, Event(event), reason, now), by)

        return self._metadata.write(write)

    def _publish(self, deployment: str, rollout: Rollout | None, now: datetime) -> Rollout | None:
        """Publish, and let the rollout follow, until nothing moves."""
        for _ in range(_MOVES):
            outcome = self._publisher.publish(deployment, rollout, now)
            followed = None if rollout is None else self._follow(rollout, outcome, now)
            if followed is rollout:
                break
            rollout = followed
        return rollout

    def _started(self, rollout: Rollout, now: datetime) -> Rollout:
        """Start a planned rollout; others are as they are."""
        if rollout.state is not RolloutState.PLANNED:
            return rollout
        return self._commit(rollout, step(self._arms.with_reference(rollout), Event.START, rollout.reason, now))

    def _judge(self, rollout: Rollout, now: datetime) -> Rollout:
        """Start a planned rollout; count and judge one that is on trial."""
        if rollout.state is RolloutState.PLANNED:
            return self._started(rollout, now)
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
            evidence = self._arms.since_last(rollout, now)
        except StoreError as error:
            if rollout.state is RolloutState.HELD:
                raise
            return self._move(rollout, Event.ERROR, f"evidence unreadable: {error.message}", now)
        return self._commit(rollout, advance(rollout, evidence, now))

    def _follow(self, rollout: Rollout, outcome: Publication, now: datetime) -> Rollout:
        """Let the rollout know that its table was offered, is in force, or was refused."""
        if rollout.state.is_final:
            return rollout
        if outcome.refusal and rollout.state in _REFUSABLE:
            return self._move(rollout, Event.REFUSED, f"refused by a serving process: {outcome.refusal}", now)
        if outcome.is_in_force:
            following = acknowledged(rollout, now)
            return rollout if following is None else self._commit(rollout, following)
        if outcome.generation:
            self._commit(rollout, Transition.quiet(replace(rollout, generation=outcome.generation)))
        return rollout

    def _adopt(self, route: Route, live: RouteTable, now: datetime) -> bool:
        """Take over one route; say whether anything changed by it."""

        def write(tx: WriteTx) -> bool:
            state = tx.get(Deployment, route.deployment)
            if state is None or state.generation >= live.generation:
                return False
            rollout = _open(tx, state.id)
            is_dropped = rollout is not None and _is_dropped(rollout, route)
            if rollout is not None and is_dropped:
                self._write(tx, rollout, step(rollout, Event.REJECT, live.reason, now), live.origin)
            is_moved = state.champion != route.champion.version
            after = replace(state, generation=live.generation, updated_at=now, version=state.version + 1)
            tx.replace(replace(after, champion=route.champion.version, previous=None) if is_moved else after)
            if is_moved and state.champion is not None:
                detail: Detail = {"from": state.champion, "to": route.champion.version, "reason": live.reason}
                self._auditor.record(tx, by=live.origin, action="rollback.adopted", subject=state.id, detail=detail)
                version = self._version(state.id, state.champion)
                self._hold(tx, version, state.id, live.reason, by=live.origin, now=now)
            return is_moved or is_dropped

        known = self._metadata.read(lambda tx: tx.get(Deployment, route.deployment))
        return known is not None and known.generation < live.generation and self._metadata.write(write)

    def _move(self, rollout: Rollout, event: Event, reason: str, now: datetime) -> Rollout:
        """Take one step of the table and commit it."""
        return self._commit(rollout, step(rollout, event, reason, now))

    def _commit(self, before: Rollout, transition: Transition) -> Rollout:
        """Write a transition, unless somebody else moved the rollout meanwhile; return what is stored then."""
        if transition.rollout == before:
            return before

        def write(tx: WriteTx) -> Rollout:
            stored = tx.get(Rollout, before.id)
            if stored is not None and stored.version != before.version:
                return stored
            return self._write(tx, before, transition, _POLICY)

        return self._metadata.write(write)

    def _write(self, tx: WriteTx, before: Rollout, transition: Transition, by: str) -> Rollout:
        """Write a transition with its step, audit row, decision and hold, all or nothing."""
        after = replace(transition.rollout, version=before.version + 1)
        tx.replace(after)
        if not transition.event:
            return after
        at = after.step_started_at
        tx.add(step_row(before, after, transition.event))
        detail: Detail = {
            "rollout": after.id,
            "from": before.state.value,
            "to": after.state.value,
            "reason": after.reason,
        }
        self._auditor.record(tx, by=by, action=f"rollout.{transition.event}", subject=after.deployment, detail=detail)
        if after.state is RolloutState.ROLLING_BACK:
            self._decide(tx, after, by, at)
        if after.state is RolloutState.DONE:
            self._crown(tx, after, at)
        return after

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
        return self._metadata.read(lambda tx: _open(tx, deployment))

    def _version(self, deployment: str, number: int) -> ModelVersion:
        """Return a version of a deployment's model."""
        return self._versions.resolve(f"{deployment}@{number}")


def _open(tx: ReadTx, deployment: str) -> Rollout | None:
    """Return the open rollout."""
    found = tx.list(Rollout, where={"deployment": deployment, "finished_at": None}, limit=1)
    return found[0] if found else None


def _is_dropped(rollout: Rollout, route: Route) -> bool:
    """Say whether a route has taken the candidate out of service."""
    is_served = route.challenger is not None or route.shadow is not None or route.champion.version == rollout.candidate
    return rollout.state in (*_ON_TRIAL, RolloutState.PROMOTING) and not is_served
