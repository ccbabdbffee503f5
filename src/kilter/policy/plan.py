"""The difference between what is wanted and what is live, as ordered actions under one hash."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.plan import Plan, PlanAction
from kilter.contracts.verdict import VerdictState
from kilter.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kilter.contracts.deployment import Hold
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.rollout import Rollout
    from kilter.contracts.spec import DeploymentSpec
    from kilter.contracts.verdict import CheckRun

__all__ = ["ancestors", "diff", "first", "objections", "plan_hash", "refuse_second", "warnings"]

_SHOWN = 3


def diff(
    spec: DeploymentSpec,
    *,
    wanted: ModelVersion | None,
    lineage: tuple[int, ...] = (),
    live: Deployment | None,
    rollout: Rollout | None,
    holds: tuple[Hold, ...],
    generation: int,
) -> Plan:
    """Compare desired and live state.

    Parameters
    ----------
    spec : DeploymentSpec
        What is wanted.
    wanted : ModelVersion or None
        The version that it names; None if it is not registered yet.
    lineage : tuple of int
        Versions that the live champion was made from; a repaired champion answers for its parents.
    live : Deployment or None
        What is there.
    rollout : Rollout or None
        The open rollout.
    holds : tuple of Hold
        Holds in force.
    generation : int
        Generation of the live route table, for display.

    Returns
    -------
    Plan
        Holds first; no actions if nothing differs.

    Raises
    ------
    Nothing
    """
    name = spec.model.name
    subject = f"{name}@{'new' if wanted is None else wanted.number}"
    actions: list[PlanAction] = []
    held = [hold for hold in holds if wanted is not None and hold.digest == wanted.digest]
    is_live = live is not None and wanted is not None and wanted.number in (live.champion, *lineage)
    if not is_live:
        actions += [_blocked(subject, hold) for hold in held]
        actions += _changes(subject, wanted, live, rollout)
    if live is not None and live.spec != spec:
        actions.append(
            PlanAction(
                kind="configure",
                subject=name,
                reason="settings differ from those in force",
                risk="none to answers; new settings hold from the next table and rollout on",
                reversal="apply the old file",
            )
        )
    return Plan(
        deployment=name,
        number=None if wanted is None else wanted.number,
        actions=tuple(actions),
        holds=holds,
        generation=generation,
        hash=plan_hash(spec, wanted=wanted, live=live, rollout=rollout, holds=holds),
    )


def plan_hash(
    spec: DeploymentSpec,
    *,
    wanted: ModelVersion | None,
    live: Deployment | None,
    rollout: Rollout | None,
    holds: tuple[Hold, ...],
) -> str:
    """Return SHA-256 of the canonical JSON of what is wanted and of the world that the plan was made for.

    Route generations are not part of it: they grow while nothing else changes.
    """
    world = {
        "desired": asdict(spec),
        "wanted": None if wanted is None else wanted.digest,
        "live": None if live is None else [live.champion, live.previous, asdict(live.spec)],
        "rollout": None if rollout is None else [rollout.id, rollout.state, rollout.step],
        "holds": sorted(hold.id for hold in holds),
    }
    text = json.dumps(_decimal(world), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def _changes(
    subject: str, wanted: ModelVersion | None, live: Deployment | None, rollout: Rollout | None
) -> list[PlanAction]:
    """List what brings the wanted version into service."""
    actions = []
    if wanted is None:
        actions.append(
            PlanAction(
                kind="register",
                subject=subject,
                reason="no version of this model is registered",
                risk="none; nothing is served yet",
                reversal="none needed: versions are immutable",
            )
        )
    if live is None or live.champion is None:
        actions.append(
            PlanAction(
                kind="deploy",
                subject=subject,
                reason="nothing is deployed under this name",
                risk="no earlier version to compare with or return to; its gates have to pass",
                reversal="deploy another version",
            )
        )
    elif rollout is not None and wanted is not None and rollout.candidate == wanted.number:
        actions.append(
            PlanAction(
                kind="wait",
                subject=subject,
                reason=f"rollout {rollout.id} of this version is {rollout.state} at {rollout.weight / 100:g} %",
                risk="none",
                reversal="abort the rollout",
            )
        )
    else:
        actions.append(
            PlanAction(
                kind="rollout" if rollout is None else "blocked",
                subject=subject,
                reason=f"version {live.champion} is champion"
                if rollout is None
                else f"rollout {rollout.id} of version {rollout.candidate} is open",
                risk="part of the traffic is answered by the new version while it is judged",
                reversal="automatic on harm; `kilter rollback` at any time",
            )
        )
    return actions


def _blocked(subject: str, hold: Hold) -> PlanAction:
    """Show a hold."""
    return PlanAction(
        kind="blocked",
        subject=subject,
        reason=f"held since {hold.created_at:%Y-%m-%d %H:%M} UTC: {hold.reason}",
        risk="it was rejected before",
        reversal=f"override with `--override {hold.id} --reason TEXT`",
    )


def _decimal(value: object) -> object:
    """Write numbers as decimal strings, so that the hash depends on no library's number format."""
    if isinstance(value, dict):
        return {str(key): _decimal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_decimal(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    return repr(value)


def objections(run: CheckRun) -> tuple[str, ...]:
    """List what the gates of a run have to say: one sentence per gate that did not pass."""
    return tuple(
        f"{verdict.gate} {verdict.state} ({verdict.on_fail}): {verdict.reason}"
        for verdict in run.verdicts
        if verdict.state is not VerdictState.PASS
    )


def warnings(run: CheckRun) -> str:
    """Count the warnings of a run that passed, with their gates; empty if there are none.

    Examples
    --------
    A run whose one verdict of ``log_loss.slices`` is inconclusive gives `` (1 warning: log_loss.slices
    inconclusive)``.
    """
    found = [f"{verdict.gate} {verdict.state}" for verdict in run.verdicts if verdict.state is not VerdictState.PASS]
    if not found:
        return ""
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f" ({len(found)} warning{'s' if len(found) > 1 else ''}: {', '.join(found[:_SHOWN])}{more})"


def ancestors(versions: Iterable[ModelVersion], number: int | None) -> tuple[int, ...]:
    """List the versions that one was made from, nearest first."""
    parents = {version.number: version.parent_number for version in versions}
    found: list[int] = []
    parent = parents.get(number or 0)
    while parent is not None and parent not in found:
        found.append(parent)
        parent = parents.get(parent)
    return tuple(found)


def first(spec: DeploymentSpec, champion: int, now: datetime) -> Deployment:
    """Build the deployment of a first version."""
    return Deployment(
        id=spec.model.name, spec=spec, champion=champion, previous=None, generation=0, created_at=now, updated_at=now
    )


def refuse_second(rollout: Rollout | None, state: Deployment, number: int) -> None:
    """Refuse a rollout beside another one, or of the champion.

    Raises
    ------
    Conflict
        If there is another open rollout, or the version is champion.
    """
    if rollout is not None:
        message = f"rollout {rollout.id} of `{state.id}` version {rollout.candidate} is open ({rollout.state})"
        raise Conflict(message, hint=f"wait for its end, or end it with `kilter rollback {state.id}`")
    if state.champion == number:
        message = f"version {number} of `{state.id}` is champion already"
        raise Conflict(message, hint=f"see it with `kilter status {state.id}`")
