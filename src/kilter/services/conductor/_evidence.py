"""What the log says of a rollout's arms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.prediction import OWN_ARMS, Arm
from kilter.contracts.rollout import ArmEvidence
from kilter.policy.pairing import Span, arm_losses, losses, scale_of, shadow_losses

if TYPE_CHECKING:
    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.rollout import Rollout
    from kilter.contracts.scoring import VersionBook

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 5_000
_LOOK_BACK = timedelta(days=90)
_FEWEST_LABELS = 50


class ArmReader:
    """Reads requests, failures and losses of the arms.

    Guarantees: labels count by the time they arrived, so that consecutive spans count each once.
    """

    def __init__(self, *, metadata: MetadataStore, table: PredictionTable, versions: VersionBook) -> None:
        self._metadata = metadata
        self._table = table
        self._versions = versions

    def with_reference(self, rollout: Rollout) -> Rollout:
        """Freeze the champion's recent loss, of which the margin is a share, and the scale of a regression."""
        version = self._version(rollout, rollout.champion)
        signature = version.manifest.signature
        query = RowQuery(
            deployment=rollout.deployment,
            start_ns=_ns(rollout.started_at - _LOOK_BACK),
            end_ns=_ns(rollout.started_at),
            versions=(rollout.champion,),
            arms=OWN_ARMS,
            with_columns=False,
        )
        rows = self._table.rows(self._parts(rollout.deployment), query)
        scale = scale_of(signature, rows)
        known = losses(signature, rows, scale)
        known = known[~np.isnan(known)]
        reference = float(known.mean()) if known.size >= _FEWEST_LABELS else 0.0
        return replace(rollout, reference_loss=reference, loss_scale=scale)

    def since_last(self, rollout: Rollout, now: datetime) -> ArmEvidence:
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
        candidate = self._version(rollout, rollout.candidate).manifest.signature
        champion = self._version(rollout, rollout.champion).manifest.signature
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

    def _version(self, rollout: Rollout, number: int) -> ModelVersion:
        """Return one of the rollout's versions."""
        return self._versions.resolve(f"{rollout.deployment}@{number}")

    def _parts(self, deployment: str) -> tuple[LogPart, ...]:
        """Return all parts of the deployment's log."""
        return self._metadata.read(lambda tx: _parts(tx, deployment))


def _parts(tx: ReadTx, deployment: str) -> tuple[LogPart, ...]:
    """Return all parts that are read, in one view: a merge between two pages would count rows twice or never."""
    where: dict[str, str | int | bool | None] = {"deployment": deployment, "superseded_at": None}
    pages = [tx.list(LogPart, where=where, limit=_PAGE)]
    while len(pages[-1]) == _PAGE:
        pages.append(tx.list(LogPart, where=where, after=pages[-1][-1].id, limit=_PAGE))
    return tuple(part for page in pages for part in page)


def _ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
