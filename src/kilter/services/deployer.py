"""Deployments: what is wanted is planned, applied, rolled out and taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.ids import DecisionId, RolloutId
from kilter.contracts.plan import Applied, DeploymentStatus, Plan
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.errors import Conflict, NotFound
from kilter.policy.hold import holding, new_hold, on_hold
from kilter.policy.plan import first, refuse_second
from kilter.policy.rollout import Event, start

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.clock import Clock
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.plan import Admission
    from kilter.contracts.rollout import RolloutDriver
    from kilter.contracts.route import RouteStore
    from kilter.contracts.scoring import Auditor, IdSource, VersionBook
    from kilter.contracts.spec import DeploymentSpec

    Detail = dict[str, str | int | float | bool | None]

__all__ = ["Deployer"]

_PAGE = 5_000


class Deployer:
    """Brings versions into service and takes them back. Also implements ``RolloutStarter``.

    Guarantees: every change is one transaction with its audit row, written before the route table that
    follows from it; applying the same thing twice changes nothing the second time; at most one open
    rollout per deployment. Safe beside a control loop: what another process wrote meanwhile is read again
    inside the transaction that builds on it.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        routes: RouteStore,
        versions: VersionBook,
        admission: Admission,
        driver: RolloutDriver,
        auditor: Auditor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._metadata = metadata
        self._routes = routes
        self._versions = versions
        self._admission = admission
        self._driver = driver
        self._auditor = auditor
        self._clock = clock
        self._ids = ids

    def plan(self, spec: DeploymentSpec) -> Plan:
        """Compare what is wanted with what is live; nothing changes. See ``Admission.plan``."""
        return self._admission.plan(spec)

    def apply(
        self, spec: DeploymentSpec, *, by: str, override: str = "", reason: str = "", plan_hash: str = ""
    ) -> Applied:
        """Carry out what is wanted.

        Parameters
        ----------
        spec : DeploymentSpec
            The desired state.
        by : str
            Who asks.
        override, reason : str
            Id of the hold to release, or ``gates`` to deploy in spite of failed gates; only with a reason.
        plan_hash : str
            The plan that was agreed; another world refuses.

        Returns
        -------
        Applied
            ``deployed`` (first version), ``rollout_started``, ``configured`` or ``unchanged``.

        Raises
        ------
        WorldMoved
            If the plan's hash is not that of the present world.
        OnHold
            If the version was rejected before and not overridden.
        Conflict
            If another rollout is open.
        GateFailed, Inconclusive
            If the version's gates do not pass and are not overridden.
        """
        now = self._clock.now()
        self._driver.adopt(now)
        plan = self.plan(spec)
        self._admission.agree(plan, plan_hash, by=by)
        if plan.is_empty:
            return Applied(
                deployment=plan.deployment, outcome="unchanged", number=plan.number or 0, plan=plan, message="as wanted"
            )
        kinds = {action.kind for action in plan.actions}
        if kinds <= {"configure", "wait"}:
            return self._configure(spec, plan, by, now)
        wanted = self._admission.wanted(spec) or self._versions.register(spec.model, spec.data, by=by)
        message = self._admission.admit(wanted, spec, plan, by=by, override=override if reason else "")
        if "deploy" in kinds:
            self._deploy(spec, wanted, by, f"{message}; {reason}" if reason else message, now)
            self._driver.settle(spec.model.name, now)
            return Applied(
                deployment=spec.model.name, outcome="deployed", number=wanted.number, plan=plan, message=message
            )
        if "configure" in kinds:
            self._configure(spec, plan, by, now)
        rollout = self.begin(spec.model.name, wanted.number, origin="apply", by=by, reason=reason or message)
        return Applied(
            deployment=spec.model.name,
            outcome="rollout_started",
            number=wanted.number,
            plan=plan,
            rollout_id=rollout.id,
            message=message,
        )

    def begin(self, deployment: str, number: int, *, origin: str, by: str, reason: str) -> Rollout:
        """Start a rollout of a version whose evidence is good enough to be tried on traffic.

        Parameters
        ----------
        deployment : str
            Its name.
        number : int
            The candidate.
        origin : str
            What made it: ``apply``, ``recalibration`` or ``retraining``.
        by, reason : str
            Who, and why.

        Returns
        -------
        Rollout
            The new one, or the open one of the same candidate.

        Raises
        ------
        NotFound
            If there is no such deployment or it has no champion.
        OnHold
            If the version was rejected before.
        Conflict
            If another rollout is open, or the version is champion already.
        InvalidRequest
            If the rollout's settings do not hold.
        """
        now = self._clock.now()
        version = self._versions.resolve(f"{deployment}@{number}")
        rollout_id = RolloutId(self._ids.new("ro"))

        def write(tx: WriteTx) -> Rollout:
            state = _required(tx, deployment)
            rollout = _open(tx, deployment)
            if rollout is not None and rollout.candidate == number:
                return rollout
            refuse_second(rollout, state, number)
            held = holding(_holds(tx, deployment), version.digest)
            if held is not None:
                raise on_hold(held)
            planned = start(
                rollout_id,
                deployment=deployment,
                champion=state.champion or 0,
                candidate=number,
                spec=state.spec.rollout,
                now=now,
                origin=origin,
                reason=reason,
            )
            tx.add(planned)
            detail: Detail = {
                "rollout": planned.id,
                "from": planned.champion,
                "to": number,
                "origin": origin,
                "reason": reason,
            }
            self._auditor.record(tx, by=by, action="rollout.planned", subject=deployment, detail=detail)
            return planned

        rollout = self._metadata.write(write)
        return self._driver.settle(deployment, now) or rollout

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        """Judge, move and publish; see ``RolloutDriver.tick``, also for what it raises."""
        return self._driver.tick(deployment, now)

    def adopt(self, now: datetime) -> tuple[str, ...]:
        """Take over tables written while nobody was here; see ``RolloutDriver.adopt``."""
        return self._driver.adopt(now)

    def promote(self, deployment: str, *, by: str, reason: str = "") -> Rollout:
        """Let the candidate take over by a person's decision, which is recorded as such.

        Raises
        ------
        NotFound, Conflict
            If no rollout is open, or it is neither on trial nor held.
        """
        return self._person(deployment, Event.PROMOTE, by, reason or f"promoted by {by}")

    def resume(self, deployment: str, *, by: str, reason: str = "") -> Rollout:
        """Let a held rollout go on where it was; its evidence continues.

        Raises
        ------
        NotFound, Conflict
            If no rollout is open, or it is not held.
        """
        return self._person(deployment, Event.RESUME, by, reason or f"resumed by {by}")

    def abort(self, deployment: str, *, by: str, reason: str, hold: bool = False) -> Rollout:
        """End the open rollout; the champion answers everything again.

        Raises
        ------
        NotFound, Conflict
            If no rollout is open, or it is already ending.
        """
        return self._person(deployment, Event.REJECT if hold else Event.ABORT, by, reason)

    def rollback(self, deployment: str, *, to: int | None = None, by: str, reason: str) -> Deployment:
        """Go back: drop the candidate, or return to an earlier champion and hold the present one.

        Parameters
        ----------
        deployment : str
            Its name.
        to : int or None
            An earlier version; None drops the candidate if one is on trial, else takes the previous champion.
        by, reason : str
            Who, and why.

        Returns
        -------
        Deployment
            After the rollback; the table follows at once, or when the serving processes have prepared it.

        Raises
        ------
        NotFound
            If there is no such deployment.
        Conflict
            If there is nothing to go back to.
        """
        now = self._clock.now()
        self._driver.adopt(now)
        is_dropped = self._drop(deployment, by, reason, now)
        if to is not None or not is_dropped:
            self._go_back(deployment, to, by, reason, now)
        self._driver.settle(deployment, now)
        return self._metadata.read(lambda tx: _required(tx, deployment))

    def status(self, deployment: str) -> DeploymentStatus:
        """Show a deployment with its latest rollout, holds in force and route.

        Raises
        ------
        NotFound
            If there is no such deployment.
        """
        live = self._routes.live()
        is_settled = self._routes.proposed() is None

        def read(tx: ReadTx) -> DeploymentStatus:
            latest = tx.list(Rollout, where={"deployment": deployment}, limit=1, newest_first=True)
            return DeploymentStatus(
                deployment=_required(tx, deployment),
                rollout=latest[0] if latest else None,
                holds=_holds(tx, deployment),
                route=None if live is None else live.route(deployment),
                generation=0 if live is None else live.generation,
                is_settled=is_settled,
            )

        return self._metadata.read(read)

    def _person(self, deployment: str, event: Event, by: str, reason: str) -> Rollout:
        """Give the open rollout a person's event, and publish what follows."""
        now = self._clock.now()
        self._driver.adopt(now)
        moved = self._driver.move(deployment, event, by=by, reason=reason, now=now)
        return self._driver.settle(deployment, now) or moved

    def _configure(self, spec: DeploymentSpec, plan: Plan, by: str, now: datetime) -> Applied:
        """Put other settings in force; an open rollout keeps the ones it started with."""

        def write(tx: WriteTx) -> Deployment:
            state = _required(tx, spec.model.name)
            if state.spec == spec:
                return state
            after = replace(state, spec=spec, updated_at=now, version=state.version + 1)
            tx.replace(after)
            self._auditor.record(tx, by=by, action="deployment.configured", subject=state.id, detail={})
            return after

        state = self._metadata.write(write)
        self._driver.settle(state.id, now)
        is_changed = any(action.kind == "configure" for action in plan.actions)
        outcome = "configured" if is_changed else "unchanged"
        return Applied(deployment=state.id, outcome=outcome, number=state.champion or 0, plan=plan)

    def _deploy(self, spec: DeploymentSpec, wanted: ModelVersion, by: str, reason: str, now: datetime) -> None:
        """Make the first version champion."""

        def write(tx: WriteTx) -> None:
            if tx.get(Deployment, spec.model.name) is not None:
                message = f"`{spec.model.name}` was deployed meanwhile"
                raise Conflict(message, hint="run `kilter plan` and look again")
            tx.add(first(spec, wanted.number, now))
            self._record(tx, spec.model.name, "deploy", wanted.number, (by, reason, now))

        self._metadata.write(write)

    def _drop(self, deployment: str, by: str, reason: str, now: datetime) -> bool:
        """Reject the candidate on trial; say whether there was one, also if it is being taken back already."""
        rollout = self._metadata.read(lambda tx: _open(tx, _required(tx, deployment).id))
        if rollout is not None and rollout.state is not RolloutState.ROLLING_BACK:
            try:
                self._driver.move(deployment, Event.REJECT, by=by, reason=reason, now=now)
            except (NotFound, Conflict):  # it has just ended, one way or the other
                rollout = self._metadata.read(lambda tx: _open(tx, deployment))
                if rollout is not None and rollout.state is not RolloutState.ROLLING_BACK:
                    raise
        return rollout is not None

    def _go_back(self, deployment: str, to: int | None, by: str, reason: str, now: datetime) -> None:
        """Return to an earlier champion and hold the present one, before anything is published."""

        def write(tx: WriteTx) -> None:
            state = _required(tx, deployment)
            target = state.previous if to is None else to
            if target is None or target == state.champion or state.champion is None:
                message = f"`{state.id}` has nothing to roll back to"
                raise Conflict(message, hint="name an earlier version with `--to VERSION`")
            self._versions.resolve(f"{state.id}@{target}")
            left = self._versions.resolve(f"{state.id}@{state.champion}")
            tx.replace(replace(state, champion=target, previous=None, updated_at=now, version=state.version + 1))
            if holding(_holds(tx, state.id), left.digest) is None:
                tx.add(new_hold(self._ids.new("hold"), left, deployment=state.id, reason=reason, by=by, now=now))
            self._record(tx, state.id, "rollback", target, (by, reason, now))

        self._metadata.write(write)

    def _record(self, tx: WriteTx, deployment: str, kind: str, number: int, because: tuple[str, str, datetime]) -> None:
        """Write a decision and its audit row; because: who, why, when."""
        by, reason, now = because
        decision_id = DecisionId(self._ids.new("dec"))
        tx.add(
            Decision(
                id=decision_id,
                key=f"{kind}/{decision_id}",
                deployment=deployment,
                kind=kind,
                reason=reason,
                command="",
                arguments={"version": number},
                by=by,
                at=now,
            )
        )
        detail: Detail = {"version": number, "reason": reason, "decision": decision_id}
        self._auditor.record(tx, by=by, action=f"deployment.{kind}", subject=deployment, detail=detail)


def _open(tx: ReadTx, deployment: str) -> Rollout | None:
    """Return the open rollout."""
    found = tx.list(Rollout, where={"deployment": deployment, "finished_at": None}, limit=1)
    return found[0] if found else None


def _holds(tx: ReadTx, deployment: str) -> tuple[Hold, ...]:
    """Return the holds in force."""
    return tx.list(Hold, where={"deployment": deployment, "released_at": None}, limit=_PAGE)


def _required(tx: ReadTx, deployment: str) -> Deployment:
    """Return a deployment that has to be there."""
    state = tx.get(Deployment, deployment)
    if state is None:
        message = f"no deployment `{deployment}`"
        raise NotFound(message, hint="see the deployments with `kilter status`")
    return state
