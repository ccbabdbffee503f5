"""Admission: what would bring a version into service, and whether it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.model import ModelVersion
from kilter.contracts.rollout import Rollout
from kilter.contracts.verdict import OnFail, VerdictState
from kilter.errors import GateFailed, Inconclusive, WorldMoved
from kilter.policy.hold import holding, on_hold, released
from kilter.policy.plan import ancestors, diff, objections, refuse_second, warnings

if TYPE_CHECKING:
    from kilter.contracts.clock import Clock
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.plan import Plan
    from kilter.contracts.route import RouteStore
    from kilter.contracts.scoring import Auditor, GateRunner, VersionBook
    from kilter.contracts.spec import DeploymentSpec
    from kilter.contracts.verdict import CheckRun

__all__ = ["GatedAdmission"]

_PAGE = 5_000


class GatedAdmission:
    """Implements ``Admission`` with holds and gates.

    Guarantees: missing evidence never admits; every refusal and every override is an audit row.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        routes: RouteStore,
        versions: VersionBook,
        gates: GateRunner,
        auditor: Auditor,
        clock: Clock,
    ) -> None:
        self._metadata = metadata
        self._routes = routes
        self._versions = versions
        self._gates = gates
        self._auditor = auditor
        self._clock = clock

    def plan(self, spec: DeploymentSpec) -> Plan:
        """Compare what is wanted with what is live; nothing changes.

        Parameters
        ----------
        spec : DeploymentSpec
            The desired state.

        Returns
        -------
        Plan
            Empty if there is nothing to do.

        Raises
        ------
        UnknownName
            If ``model.version`` names a version that does not exist.
        """
        name = spec.model.name
        wanted = self.wanted(spec)
        live = self._routes.live()

        def read(tx: ReadTx) -> Plan:
            state = tx.get(Deployment, name)
            return diff(
                spec,
                wanted=wanted,
                lineage=()
                if state is None
                else ancestors(tx.list(ModelVersion, where={"model_name": name}, limit=_PAGE), state.champion),
                live=state,
                rollout=_open(tx, name),
                holds=tx.list(Hold, where={"deployment": name, "released_at": None}, limit=_PAGE),
                generation=0 if live is None else live.generation,
            )

        return self._metadata.read(read)

    def wanted(self, spec: DeploymentSpec) -> ModelVersion | None:
        """Return the version that is asked for: by number, or the last one added from a file; None before it is added.

        Raises
        ------
        UnknownName
            If ``model.version`` names a version that does not exist.
        """
        if spec.model.version != "auto":
            return self._versions.resolve(f"{spec.model.name}@{spec.model.version}")
        found = self._metadata.read(
            lambda tx: tx.list(
                ModelVersion, where={"model_name": spec.model.name, "origin": "added"}, limit=1, newest_first=True
            )
        )
        return found[0] if found else None

    def agree(self, plan: Plan, plan_hash: str, *, by: str) -> None:
        """Refuse a plan other than the one that was agreed.

        Parameters
        ----------
        plan : Plan
            The plan for the present world.
        plan_hash : str
            Hash of the plan that was agreed; empty agrees to any.
        by : str
            Who asks.

        Returns
        -------
        None

        Raises
        ------
        WorldMoved
            If the hashes differ.
        """
        if plan_hash and plan.hash != plan_hash:
            self._note(plan.deployment, by, "apply.refused", "world_moved")
            message = f"the plan {plan_hash[:12]} was made for another world, which is now {plan.hash[:12]}"
            raise WorldMoved(message, hint="run `kilter plan` and look again")

    def admit(self, version: ModelVersion, spec: DeploymentSpec, plan: Plan, *, by: str, override: str) -> str:
        """Check holds, other rollouts and gates.

        Parameters
        ----------
        version : ModelVersion
            The one to bring into service.
        spec : DeploymentSpec
            Its gates and held-out data; without any, the reference rows are judged and the sentence says so.
        plan : Plan
            With the holds in force.
        by : str
            Who asks.
        override : str
            Id of the hold to release, or ``gates``; given with a reason only.

        Returns
        -------
        str
            The sentence that explains why it may go on.

        Raises
        ------
        OnHold
            If the version was rejected before and ``override`` is not the hold's id.
        Conflict
            If another rollout is open.
        GateFailed, Inconclusive
            If its gates do not pass and nothing is overridden.
        """
        name = spec.model.name
        held = holding(plan.holds, version.digest)
        if held is not None and override != held.id:
            self._note(name, by, "apply.refused", "on_hold")
            raise on_hold(held)
        state = self._metadata.read(lambda tx: tx.get(Deployment, name))
        if state is not None:
            refuse_second(self._metadata.read(lambda tx: _open(tx, name)), state, version.number)
        if held is not None:
            self._release(held, by)
        return self._judge(version, spec, state, by, override)

    def _judge(
        self, version: ModelVersion, spec: DeploymentSpec, live: Deployment | None, by: str, override: str
    ) -> str:
        """Run the gates; return the sentence that explains the outcome."""
        path = spec.data.holdout or spec.data.reference
        rows = "" if spec.data.holdout else " on its reference rows, as no `holdout` is set under `[data]`"
        run = self._run(version, spec, live, path, by) if path else None
        state = VerdictState.INCONCLUSIVE if run is None else run.state
        if run is not None and state is VerdictState.PASS:
            return f"passed its gates{rows}{warnings(run)}"
        reasons = ("there are no rows to judge the version on",) if run is None else objections(run)
        text = "; ".join(reasons)
        if override:
            self._note(version.model_name, by, "gates.overridden", text)
            return f"overridden by {by}: gates {state}: {text}"
        self._note(version.model_name, by, "apply.refused", f"gates {state}")
        hint = "set `holdout` under `[data]`" if run is None else f"see them with `kilter check {version.model_name}`"
        judged = "" if run is None else rows
        message = f"version {version.number} of `{version.model_name}` did not pass its gates{judged} ({state})"
        error = GateFailed if state is VerdictState.FAIL else Inconclusive
        raise error(
            message,
            why=text,
            hint=hint,
            details={"reasons": list(reasons), "override": "gates", "awaits_review": _awaits_review(run)},
        )

    def _run(
        self, version: ModelVersion, spec: DeploymentSpec, live: Deployment | None, path: str, by: str
    ) -> CheckRun:
        """Run the gates against the champion, if there is one."""
        baseline = None
        if live is not None and live.champion is not None:
            baseline = self._versions.resolve(f"{live.id}@{live.champion}")
        return self._gates.check(version, data_path=path, rules=spec.gates, baseline=baseline, by=by)

    def _release(self, hold: Hold, by: str) -> None:
        """Release an overridden hold, once."""

        def write(tx: WriteTx) -> None:
            stored = tx.get(Hold, hold.id)
            if stored is None or stored.released_at is not None:
                return
            tx.replace(released(stored, by=by, now=self._clock.now()))
            detail: dict[str, str | int | float | bool | None] = {"hold": hold.id, "version": hold.number}
            self._auditor.record(tx, by=by, action="hold.released", subject=hold.deployment, detail=detail)

        self._metadata.write(write)

    def _note(self, deployment: str, by: str, action: str, code: str) -> None:
        """Write an audit row."""
        self._metadata.write(
            lambda tx: self._auditor.record(tx, by=by, action=action, subject=deployment, detail={"why": code})
        )


def _open(tx: ReadTx, deployment: str) -> Rollout | None:
    """Return the open rollout."""
    found = tx.list(Rollout, where={"deployment": deployment, "finished_at": None}, limit=1)
    return found[0] if found else None


def _awaits_review(run: CheckRun | None) -> bool:
    """Say whether nothing blocks but a person has to decide."""
    return run is not None and all(
        verdict.on_fail is not OnFail.BLOCK for verdict in run.verdicts if verdict.state is not VerdictState.PASS
    )
