"""What the monitor reads from the prediction log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.monitor import LabelCoverage
from kilter.contracts.prediction import Arm
from kilter.contracts.signature import Task
from kilter.measures.rows import decided

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kilter.contracts.log import JoinedRows, PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx
    from kilter.contracts.model import ModelVersion
    from kilter.measures.rows import FloatArray

ARMS = (Arm.CHAMPION.value, Arm.CONTROL.value)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000
_PAGE = 5_000


def nanoseconds(at: datetime) -> int:
    """Return nanoseconds since the epoch, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


def moment(ns: int) -> datetime:
    """Return the time of nanoseconds since the epoch, to the microsecond."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


class LogReader:
    """Reads the parts of a deployment that a range of time can touch.

    Guarantees: the parts of other days are neither listed nor opened, so cost does not grow with the log.
    """

    def __init__(self, metadata: MetadataStore, table: PredictionTable) -> None:
        self._metadata = metadata
        self._table = table

    def first_ns(self, deployment: str) -> int | None:
        """Return the time of the first prediction, None before it; ids of parts sort by time."""
        where = {"deployment": deployment, "kind": "prediction"}
        found = self._metadata.read(lambda tx: tx.list(LogPart, where=where, limit=1))
        return found[0].min_ts_ns if found else None

    def rows(self, query: RowQuery) -> JoinedRows:
        """Return rows of a range, with the labels known by ``query.labelled_until_ns`` if that is given."""
        parts = self._parts(query.deployment, ("prediction",), query.start_ns, query.end_ns)
        if query.labelled_until_ns is not None:
            parts += self._parts(query.deployment, ("feedback",), query.start_ns, query.labelled_until_ns)
        return self._table.rows(parts, query)

    def failures(self, query: RowQuery) -> dict[int, tuple[int, int]]:
        """Return failed and all requests of a range by version."""
        parts = self._parts(query.deployment, ("prediction", "failure"), query.start_ns, query.end_ns)
        found: dict[int, tuple[int, int]] = {}
        for count in self._table.failures(parts, query) if parts else ():
            if count.arm in ARMS:
                failed, total = found.get(count.version, (0, 0))
                found[count.version] = (failed + count.failures, total + count.requests)
        return found

    def _parts(self, deployment: str, kinds: tuple[str, ...], start_ns: int, end_ns: int) -> list[LogPart]:
        """Return the parts of these kinds that overlap a range."""
        day, last = moment(start_ns).date(), moment(max(start_ns, end_ns - 1)).date()
        days = [(day + timedelta(days=more)).isoformat() for more in range((last - day).days + 1)]

        def read(tx: ReadTx) -> list[LogPart]:
            return [
                part
                for kind in kinds
                for date in days
                for part in _all(tx, {"deployment": deployment, "kind": kind, "date": date, "superseded_at": None})
            ]

        parts = self._metadata.read(read)
        return [part for part in parts if part.max_ts_ns >= start_ns and part.min_ts_ns < end_ns]


def query(deployment: str, start_ns: int, end_ns: int, *, with_columns: bool = False) -> RowQuery:
    """Ask for the champion's traffic of a range."""
    return RowQuery(deployment=deployment, start_ns=start_ns, end_ns=end_ns, arms=ARMS, with_columns=with_columns)


def by_version(rows: JoinedRows) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each version with the positions of its rows."""
    version = np.asarray(rows.version, dtype=np.int64)
    for number in np.unique(version).tolist():
        yield int(number), np.flatnonzero(version == number)


def answers(version: ModelVersion, rows: JoinedRows, chosen: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return calibrated scores and decisions of the chosen rows."""
    signature = version.manifest.signature
    scores = np.asarray(rows.scores, dtype=np.float64)[chosen]
    width = () if signature.task is Task.REGRESSION else (len(signature.classes),)
    scores = scores.reshape((chosen.size, *width)) if chosen.size else np.zeros((0, *width))
    return scores, decided(signature, scores, np.asarray(rows.threshold, dtype=np.float64)[chosen])


def coverage(rows: JoinedRows, labels: FloatArray, *, is_over: bool) -> LabelCoverage:
    """Count the labels that arrived, and how long they took."""
    known = np.isfinite(labels)
    joined = int(known.sum())
    open_rows = rows.n - joined
    p50 = p95 = None
    if joined:
        delays = (np.asarray(rows.label_ns, dtype=np.int64) - np.asarray(rows.ts_ns, dtype=np.int64))[
            known
        ] / _SECOND_NS
        p50, p95 = (float(np.quantile(delays, share)) for share in (0.5, 0.95))
    return LabelCoverage(
        predictions=rows.n,
        joined=joined,
        pending=0 if is_over else open_rows,
        missing=open_rows if is_over else 0,
        delay_p50_s=p50,
        delay_p95_s=p95,
    )


def _all(tx: ReadTx, where: dict[str, str | int | bool | None]) -> Iterator[LogPart]:
    """Yield the records of all pages."""
    after = None
    while True:
        page = tx.list(LogPart, where=where, after=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].id
