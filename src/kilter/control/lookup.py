"""Finds one logged prediction: what was asked, what was answered, and what turned out to be true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.deployment import Deployment
from kilter.contracts.log import JoinedRows, LogPart, RowQuery
from kilter.contracts.model import ModelVersion
from kilter.contracts.prediction import RecordKind
from kilter.errors import NotFound

if TYPE_CHECKING:
    from kilter.contracts.log import PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx
    from kilter.contracts.prediction import PredictionRecord

__all__ = ["MASK", "FoundPrediction", "FoundRow", "Lookup"]

MASK = "(personal, not shown)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 5_000
_MOST_ROWS = 100
_KINDS = {RecordKind.PREDICTION: "prediction", RecordKind.SHADOW: "shadow", RecordKind.FAILURE: "failure"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """One row of a request: inputs (personal ones masked), scores after calibration, the answer, the truth."""

    id: str
    inputs: Mapping[str, float | str | None]
    scores: tuple[float, ...]
    answer: str
    label: str | None
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPrediction:
    """One logged request; ``classes`` name the scores in order (empty for numbers)."""

    id: str
    kind: str
    deployment: str
    version: int
    at: datetime
    arm: str
    propensity: float
    generation: int
    face: str
    rows: int
    total_us: int
    threshold: float
    classes: tuple[str, ...]
    error_code: str
    found: tuple[FoundRow, ...]


class Lookup:
    """Looks predictions up by id.

    Parameters
    ----------
    metadata, table : ports
        Which parts there are, and what is in them.

    Guarantees: columns declared personal are masked whatever the log holds; at most 100 rows of a
    request are shown; changes nothing; safe from threads.
    """

    def __init__(self, *, metadata: MetadataStore, table: PredictionTable) -> None:
        self._metadata = metadata
        self._table = table

    def find(self, prediction_id: str) -> FoundPrediction:
        """Return one prediction.

        Raises
        ------
        NotFound
            If no such prediction is in the table (yet).
        StoreError
            If a part cannot be read.
        """
        parts = self._metadata.read(_parts)
        wanted = {*_KINDS.values()}
        record = self._table.find([part for part in parts if part.kind in wanted], prediction_id)
        if record is None:
            message = f"no prediction `{prediction_id}` in the log"
            hint = "check the id; a prediction can be looked up once the next look of the control loop has collected it"
            raise NotFound(message, hint=hint)
        version, pii = self._metadata.read(lambda tx: _context(tx, record))
        signature = version.manifest.signature if version is not None else None
        classes = signature.classes if signature is not None else ()
        found: tuple[FoundRow, ...] = ()
        if record.kind is not RecordKind.FAILURE:
            query = RowQuery(
                deployment=record.deployment,
                start_ns=record.ts_ns,
                end_ns=record.ts_ns + 1,
                kind=_KINDS[record.kind],
            )
            kept = [part for part in parts if part.deployment == record.deployment and part.kind != "failure"]
            rows = self._table.rows(kept, query)
            positive = signature.positive if signature is not None else ""
            found = _rows(rows, prediction_id, pii=pii, classes=classes, positive=positive)
        return FoundPrediction(
            id=record.prediction_id,
            kind=_KINDS[record.kind],
            deployment=record.deployment,
            version=record.version,
            at=_EPOCH + timedelta(microseconds=record.ts_ns // 1_000),
            arm=str(record.arm),
            propensity=record.propensity,
            generation=record.generation,
            face=record.face,
            rows=record.rows,
            total_us=record.total_us,
            threshold=record.threshold,
            classes=classes,
            error_code=record.error_code,
            found=found,
        )


def _parts(tx: ReadTx) -> list[LogPart]:
    """Read all parts."""
    parts: list[LogPart] = []
    while True:
        where = {"superseded_at": None}
        page = tx.list(LogPart, where=where, after=parts[-1].id if parts else None, limit=_PAGE)
        parts.extend(page)
        if len(page) < _PAGE:
            return parts


def _context(tx: ReadTx, record: PredictionRecord) -> tuple[ModelVersion | None, frozenset[str]]:
    """Read the version that answered, and which columns are personal."""
    where: dict[str, str | int | bool | None] = {"model_name": record.deployment, "number": record.version}
    versions = tx.list(ModelVersion, where=where, limit=1)
    deployment = tx.get(Deployment, record.deployment)
    pii = frozenset(deployment.spec.data.pii) if deployment is not None else frozenset[str]()
    return (versions[0] if versions else None), pii


def _rows(
    rows: JoinedRows, prediction_id: str, *, pii: frozenset[str], classes: tuple[str, ...], positive: str
) -> tuple[FoundRow, ...]:
    """Pick the rows of one request."""
    ids = np.asarray(rows.ids)
    exact = ":" in prediction_id
    chosen = [
        i
        for i, row_id in enumerate(ids)
        if row_id == prediction_id or (not exact and str(row_id).startswith(f"{prediction_id}:"))
    ]
    scores = np.asarray(rows.scores, dtype=np.float64).reshape(rows.n, -1)
    thresholds = np.asarray(rows.threshold, dtype=np.float64)
    labels, label_ns = np.asarray(rows.labels), np.asarray(rows.label_ns)
    columns = {name: np.asarray(values) for name, values in rows.columns.items()}
    found = []
    for i in chosen[:_MOST_ROWS]:
        received = int(label_ns[i])
        found.append(
            FoundRow(
                id=str(ids[i]),
                inputs={name: MASK if name in pii else _cell(values[i]) for name, values in columns.items()},
                scores=tuple(float(score) for score in scores[i]),
                answer=_answer(scores[i], float(thresholds[i]), classes, positive),
                label=None if labels[i] is None else str(labels[i]),
                labelled_at=_EPOCH + timedelta(microseconds=received // 1_000) if received else None,
            )
        )
    return tuple(found)


def _cell(value: object) -> float | str | None:
    """Turn one cell into something that JSON can hold."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    return number if np.isfinite(number) else None


def _answer(
    scores: np.ndarray[tuple[int], np.dtype[np.float64]], threshold: float, classes: tuple[str, ...], positive: str
) -> str:
    """Say in a word what was answered."""
    if not classes:
        return f"{float(scores[0]):g}"
    if len(classes) == 2 and positive in classes:
        at = classes.index(positive)
        return positive if scores[at] >= threshold else classes[1 - at]
    return classes[int(np.argmax(scores))]
