"""The difference between what is wanted and what is live, and what came of carrying it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.rollout import Rollout
from kilter.contracts.route import Route

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.spec import DeploymentSpec

__all__ = ["Admission", "Applied", "DeploymentStatus", "Plan", "PlanAction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAction:
    """One thing that apply would do, why, what could go wrong, and how it is undone.

    ``kind`` is ``register``, ``deploy``, ``rollout``, ``configure``, ``blocked`` or ``wait``; only
    the last two stop the others.
    """

    kind: str
    subject: str
    reason: str
    risk: str
    reversal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Ordered actions; none means that the live state is as wanted.

    ``number`` is the version wanted (None before it is registered), ``hash`` identifies both the
    actions and the world that they were made for.
    """

    deployment: str
    number: int | None
    actions: tuple[PlanAction, ...]
    holds: tuple[Hold, ...]
    generation: int
    hash: str

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to do."""
        return not self.actions

    @property
    def is_blocked(self) -> bool:
        """Say whether an action forbids the rest."""
        return any(action.kind == "blocked" for action in self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What apply did: ``outcome`` is ``deployed``, ``rollout_started``, ``configured`` or ``unchanged``."""

    deployment: str
    outcome: str
    number: int
    plan: Plan
    rollout_id: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """A deployment with its latest rollout, its open holds and its route in force."""

    deployment: Deployment
    rollout: Rollout | None
    holds: tuple[Hold, ...]
    route: Route | None
    generation: int
    is_settled: bool


class Admission(Protocol):
    """Says whether a version may be brought into service.

    Guarantees: a refusal is an audit row; nothing else changes but the release of an overridden hold.
    """

    def plan(self, spec: DeploymentSpec) -> Plan:
        """Compare what is wanted with what is live; nothing changes.

        Raises
        ------
        UnknownName
            If ``model.version`` names a version that does not exist.
        """
        ...

    def wanted(self, spec: DeploymentSpec) -> ModelVersion | None:
        """Return the version that is asked for, or None if it is not registered yet.

        Raises
        ------
        UnknownName
            If ``model.version`` names a version that does not exist.
        """
        ...

    def agree(self, plan: Plan, plan_hash: str, *, by: str) -> None:
        """Refuse a plan other than the one that was agreed; an empty hash agrees to any.

        Raises
        ------
        WorldMoved
            If the hashes differ.
        """
        ...

    def admit(self, version: ModelVersion, spec: DeploymentSpec, plan: Plan, *, by: str, override: str) -> str:
        """Check holds, other rollouts and gates; return the sentence that explains why it may go on.

        Raises
        ------
        OnHold
            If the version was rejected before and ``override`` is not the hold's id.
        Conflict
            If another rollout is open.
        GateFailed, Inconclusive
            If its gates do not pass and nothing is overridden.
        """
        ...
