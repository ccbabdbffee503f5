"""Recalibration: the champion's weights under a new map of its probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.deployment import Deployment
from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.model import ModelVersion
from kilter.contracts.prediction import OWN_ARMS
from kilter.contracts.signature import Task
from kilter.errors import Inconclusive, NotFound
from kilter.measures.calibration.beta import fit
from kilter.measures.rows import FloatArray, label_indexes
from kilter.policy.plan import ancestors
from kilter.policy.repair import simulate

if TYPE_CHECKING:
    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx
    from kilter.contracts.rollout import RolloutStarter
    from kilter.contracts.scoring import VersionBook
    from kilter.contracts.trigger import Simulation

__all__ = ["Recalibrator"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_BACK = timedelta(days=90)
_PAGE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """Labelled rows of the champion's weights in order of time."""

    champion: ModelVersion
    raw: FloatArray
    served: FloatArray
    labels: FloatArray


class Recalibrator:
    """Implements ``Recalibration``.

    Guarantees: reads labels known at ``until`` only, so a repeated call makes the same version; the
    rollout is started after the version is stored, and starting it again changes nothing.
    """

    def __init__(
        self, *, metadata: MetadataStore, table: PredictionTable, versions: VersionBook, rollouts: RolloutStarter
    ) -> None:
        self._metadata = metadata
        self._table = table
        self._versions = versions
        self._rollouts = rollouts

    def simulate(self, deployment: str, *, since: datetime | None, until: datetime) -> Simulation | None:
        """Replay a recalibration: fit on the older half of the labels, measure on the newer half.

        Parameters
        ----------
        deployment : str
            Its name.
        since : datetime or None
            When the change began; None reads the last 90 days.
        until : datetime
            Labels received later are not seen.

        Returns
        -------
        Simulation or None
            None for other tasks than binary, or too few labels.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If the log cannot be read.
        """
        samples = self._samples(deployment, since, until)
        return None if samples is None else simulate(samples.raw, samples.served, samples.labels)

    def recalibrate(
        self, deployment: str, *, since: datetime | None, until: datetime, by: str, reason: str
    ) -> ModelVersion:
        """Derive a recalibrated version and start its rollout.

        Parameters
        ----------
        deployment : str
            Its name.
        since, until : datetime
            As for ``simulate``.
        by, reason : str
            Who, and why.

        Returns
        -------
        ModelVersion
            The derived version, now on trial.

        Raises
        ------
        Inconclusive
            If labels are too few, or it would not have helped.
        OnHold, Conflict
            If its rollout is refused.
        """
        samples = self._samples(deployment, since, until)
        replay = None if samples is None else simulate(samples.raw, samples.served, samples.labels)
        if samples is None or replay is None:
            message = f"`{deployment}` cannot be recalibrated yet"
            raise Inconclusive(
                message,
                why="it needs 60 labelled binary predictions, with 10 of each class in the newer half",
                hint=f"send labels with `kilter feedback {deployment}`",
            )
        change = f"Brier score {replay.loss_before:.4f} -> {replay.loss_after:.4f} on {replay.n} newer rows"
        if not replay.helps:
            message = f"recalibrating `{deployment}` would not have helped"
            raise Inconclusive(message, why=change, hint="retrain it, or wait for more labels")
        told = reason if change in reason else f"{reason}; {change}"
        derived = self._versions.derive(
            samples.champion, calibration=fit(samples.raw, samples.labels), note=told, by=by
        )
        self._rollouts.begin(deployment, derived.number, origin="recalibration", by=by, reason=told)
        return derived

    def _samples(self, deployment: str, since: datetime | None, until: datetime) -> _Samples | None:
        """Read the labelled rows that the champion's weights answered, whatever the map on top."""
        state = self._metadata.read(lambda tx: tx.get(Deployment, deployment))
        if state is None or state.champion is None:
            message = f"no deployment `{deployment}` with a champion"
            raise NotFound(message, hint="see the deployments with `kilter status`")
        name = state.spec.model.name
        champion = self._versions.resolve(f"{name}@{state.champion}")
        signature = champion.manifest.signature
        if signature.task is not Task.BINARY:
            return None
        query = RowQuery(
            deployment=deployment,
            start_ns=_ns(since or until - _LOOK_BACK),
            end_ns=_ns(until),
            versions=self._same_weights(name, champion),
            arms=OWN_ARMS,
            labelled_until_ns=_ns(until),
            with_columns=False,
        )
        rows = self._table.rows(self._parts(deployment), query)
        if rows.n == 0:
            return None
        labels = label_indexes(signature, rows.labels)
        positive = signature.positive_index
        raw, served = np.asarray(rows.raw, dtype=np.float64), np.asarray(rows.scores, dtype=np.float64)
        known = ~np.isnan(labels)
        return _Samples(
            champion=champion,
            raw=raw[known, positive],
            served=served[known, positive],
            labels=(labels[known] == positive).astype(np.float64),
        )

    def _same_weights(self, name: str, champion: ModelVersion) -> tuple[int, ...]:
        """List the versions that differ from the champion in their map only."""
        book = self._metadata.read(lambda tx: tx.list(ModelVersion, where={"model_name": name}, limit=_PAGE))
        runtime = champion.manifest.entry(champion.manifest.runtime_file).digest
        family = {champion.number, *ancestors(book, champion.number)}
        return tuple(
            sorted(
                version.number
                for version in book
                if version.number in family and version.manifest.entry(version.manifest.runtime_file).digest == runtime
            )
        )

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
