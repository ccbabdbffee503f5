"""Which repair: the cheapest that would have worked, or a person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kilter.contracts.trigger import Simulation
from kilter.measures.calibration.beta import apply, fit
from kilter.measures.performance.roc_auc_score import roc_auc_score

if TYPE_CHECKING:
    from kilter.contracts.spec import RetrainSpec
    from kilter.measures.rows import FloatArray

__all__ = ["Reference", "Repair", "Rung", "choose", "simulate"]

RANKING_TOLERANCE = 0.02
_NORMAL_95 = 1.96
_FEWEST = 60
_FEWEST_OF_A_CLASS = 10


class Rung(StrEnum):
    """The steps of the ladder, cheapest first."""

    RECALIBRATE = "recalibrate"
    REFIT = "retrain"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the version could do when it was accepted; None where that is not known."""

    loss: float | None
    auc: float | None
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """The rung chosen, and the sentence that explains it."""

    rung: Rung
    reason: str


def simulate(raw: FloatArray, served: FloatArray, labels: FloatArray) -> Simulation | None:
    """Replay a recalibration on labelled rows in order of time.

    Parameters
    ----------
    raw, served : float array of shape (n,)
        Probability of the positive class before any map, and as it was served.
    labels : float array of shape (n,), 0 or 1
        What happened.

    Returns
    -------
    Simulation or None
        None with fewer than 60 rows, or fewer than 10 of either class in the newer half.

    Raises
    ------
    SchemaMismatch
        If a score or label is outside [0, 1].
    """
    half = raw.size // 2
    newer = labels[half:]
    if raw.size < _FEWEST or min(newer.sum(), newer.size - newer.sum()) < _FEWEST_OF_A_CLASS:
        return None
    after = apply(fit(raw[:half], labels[:half]), raw[half:])
    lost_before = (served[half:] - newer) ** 2
    lost_after = (after - newer) ** 2
    gains = lost_before - lost_after
    auc = roc_auc_score(newer, raw[half:])
    error = _auc_error(auc, float(newer.sum()), float(newer.size - newer.sum()))
    return Simulation(
        n=int(newer.size),
        loss_before=float(lost_before.mean()),
        loss_after=float(lost_after.mean()),
        gain_low=float(gains.mean() - _NORMAL_95 * gains.std(ddof=1) / math.sqrt(newer.size)),
        auc=auc,
        auc_low=max(0.0, auc - _NORMAL_95 * error),
        auc_high=min(1.0, auc + _NORMAL_95 * error),
    )


def choose(
    *, family: str, suggestion: str, spec: RetrainSpec, simulation: Simulation | None, reference: Reference
) -> Repair:
    """Choose a rung from an alert and what the ladder would have achieved.

    Data that are broken are no rung: refitting on them makes it worse. Without a training command a
    refit becomes a question to a person.
    """
    if suggestion == "fix the feed":
        return Repair(rung=Rung.ASK, reason="fix the feed: broken inputs explain the alert, and no repair would help")
    if spec.action == "ask":
        return Repair(rung=Rung.ASK, reason="`retrain.action` is `ask`")
    if spec.action in {"refit", "fresh"}:
        return _refit(spec, f"`retrain.action` is `{spec.action}`")
    if simulation is None:
        return _refit(spec, f"recalibration does not apply or has too few labels, and {family} has fallen")
    objection = _objection(family, spec, simulation, reference)
    if objection:
        return _refit(spec, objection)
    return Repair(
        rung=Rung.RECALIBRATE,
        reason=f"the ranking holds (AUC {_bounds(simulation)}) and recalibration would have helped: "
        f"Brier score {_change(simulation)}",
    )


def _objection(family: str, spec: RetrainSpec, simulation: Simulation, reference: Reference) -> str:
    """Say why recalibration is not enough, or nothing."""
    if reference.auc is not None and simulation.auc_high < reference.auc - RANKING_TOLERANCE:
        return f"the ranking fell: AUC {_bounds(simulation)}, {reference.auc:.3f} when accepted"
    if not simulation.helps:
        return f"recalibration would not help: Brier score {_change(simulation)}"
    is_short = reference.loss is not None and simulation.loss_after > reference.loss + reference.tolerance
    if is_short and family != "calibration" and spec.command:
        return f"recalibration would not reach {reference.loss:.3f} again: Brier score {_change(simulation)}"
    return ""


def _refit(spec: RetrainSpec, reason: str) -> Repair:
    """Refit if there is a command for it, else ask."""
    if spec.command:
        return Repair(rung=Rung.REFIT, reason=reason)
    return Repair(rung=Rung.ASK, reason=f"{reason}; set `retrain.command` to let kilter refit")


def _auc_error(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC after Hanley and McNeil (1982)."""
    q1 = auc / (2.0 - auc)
    q2 = 2.0 * auc * auc / (1.0 + auc)
    spread = auc * (1.0 - auc) + (positives - 1.0) * (q1 - auc * auc) + (negatives - 1.0) * (q2 - auc * auc)
    return math.sqrt(max(spread, 0.0) / (positives * negatives))


def _bounds(simulation: Simulation) -> str:
    """Write the AUC with its interval."""
    return f"{simulation.auc:.3f} [{simulation.auc_low:.3f}, {simulation.auc_high:.3f}]"


def _change(simulation: Simulation) -> str:
    """Write the change of the Brier score on the newer half."""
    return f"{simulation.loss_before:.4f} -> {simulation.loss_after:.4f} on {simulation.n} newer rows"
