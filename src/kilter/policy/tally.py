"""Running evidence of a rollout: what each tick adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.measures.sequential.pairs import add_events, add_pairs

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.rollout import ArmEvidence, HarmProcess, Rollout

__all__ = ["tally"]

ERROR_RATIO = 1.1
ERROR_RATIO_INFERIOR = 1.5
ERROR_DIFFERENCE = 0.005
LOSS_MARGIN = 0.02
LOSS_SHARE = 0.10
_WAITING = 5_000


def tally(rollout: Rollout, evidence: ArmEvidence, now: datetime) -> Rollout:
    """Add a tick's evidence to the running counts and products.

    Parameters
    ----------
    rollout : Rollout
        With its evidence so far.
    evidence : ArmEvidence
        What came since ``rollout.evidence_until``.
    now : datetime
        How far the log has been counted after this.

    Returns
    -------
    Rollout
        Losses without a partner in the other arm wait for one; failures wait until both arms have traffic.

    Raises
    ------
    Nothing
    """
    requests = (
        rollout.requests_candidate + evidence.requests_candidate,
        rollout.requests_control + evidence.requests_control,
    )
    failures = (
        rollout.failures_candidate + evidence.failures_candidate,
        rollout.failures_control + evidence.failures_control,
    )
    candidate = rollout.waiting_candidate + evidence.loss_candidate
    control = rollout.waiting_control + evidence.loss_control
    n = min(len(candidate), len(control))
    processes = tuple(
        _count_errors(rollout, process, requests, failures)
        if process.metric == "error"
        else _count_losses(rollout, process, candidate[:n], control[:n])
        for process in rollout.processes
    )
    return replace(
        rollout,
        processes=processes,
        requests_candidate=requests[0],
        requests_control=requests[1],
        failures_candidate=failures[0],
        failures_control=failures[1],
        units_candidate=rollout.units_candidate + evidence.requests_candidate,
        units_control=rollout.units_control + evidence.requests_control,
        waiting_candidate=candidate[n:][-_WAITING:],
        waiting_control=control[n:][-_WAITING:],
        evidence_until=now,
    )


def _count_errors(
    rollout: Rollout, process: HarmProcess, requests: tuple[int, int], failures: tuple[int, int]
) -> HarmProcess:
    """Add failures that were not counted yet; they wait until both arms have traffic."""
    if min(requests) == 0:
        return process
    counted_plus = round((process.sum_squares + process.sum) / 2.0)
    counted_minus = round((process.sum_squares - process.sum) / 2.0)
    return add_events(
        process,
        plus=max(0, failures[0] - counted_plus),
        minus=max(0, failures[1] - counted_minus),
        pairs=max(0, min(requests) - process.n),
        harm_ratio=ERROR_RATIO,
        inferior_ratio=ERROR_RATIO_INFERIOR,
        inferior_difference=dict(rollout.spec.margins).get("error", ERROR_DIFFERENCE),
    )


def _count_losses(
    rollout: Rollout, process: HarmProcess, candidate: tuple[float, ...], control: tuple[float, ...]
) -> HarmProcess:
    """Add pairs of losses in the order in which they came."""
    default = max(LOSS_MARGIN, LOSS_SHARE * rollout.reference_loss)
    margin = dict(rollout.spec.margins).get("loss", default)
    differences = np.array(candidate, dtype=np.float64) - np.array(control, dtype=np.float64)
    return add_pairs(process, np.clip(differences, -1.0, 1.0), harm=0.0, inferior=margin)
