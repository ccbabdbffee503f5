"""A prediction log made of arrays: deployments with any traffic, labels and failures, for tests of services."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.log import FailureCount, JoinedRows, LogPart
from kilter.contracts.metadata import MetadataStore
from kilter.contracts.model import ModelVersion
from kilter.errors import UnknownName
from kilter.measures.rows import label_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilter.contracts.arrays import Array
    from kilter.contracts.calibration import CalibrationMap
    from kilter.contracts.log import RowQuery, SegmentInfo
    from kilter.contracts.prediction import LogRecord, PredictionRecord
    from kilter.contracts.scoring import Progress
    from kilter.contracts.spec import DataSpec, ModelSpec

__all__ = ["Traffic", "Versions"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Traffic:
    """A ``PredictionTable`` over arrays; ``add`` also writes the metadata rows of its parts.

    ``rows_read`` counts the rows that were given out, so that a test can bound the work of a tick.
    """

    metadata: MetadataStore
    deployment: str
    rows_read: int = 0
    _blocks: list[JoinedRows] = field(default_factory=list)
    _failures: dict[int, list[tuple[int, str, int, int]]] = field(default_factory=dict)

    def add(
        self,
        ts_ns: Array,
        scores: Array,
        columns: dict[str, Array],
        *,
        version: int = 1,
        arm: str = "champion",
        labels: Sequence[object] | None = None,
        delay_s: float = 0.0,
        threshold: float = 0.5,
    ) -> None:
        """Log answered rows; a label of None never comes, the others ``delay_s`` after the prediction."""
        stamps = np.asarray(ts_ns, dtype=np.int64)
        n = stamps.size
        values = np.asarray(scores, dtype=np.float64).reshape(n, -1)
        given = [None] * n if labels is None else [None if one is None else label_text(one) for one in labels]
        truth = np.array([*given, None], dtype=np.object_)[:-1]
        arrived = np.where([one is not None for one in given], stamps + round(delay_s * 1e9), 0)
        ids = np.array([f"p{stamp:020d}:{row}" for row, stamp in enumerate(stamps.tolist())], dtype=np.object_)
        self._blocks.append(
            JoinedRows(
                n=n,
                ids=ids,
                parent_ids=np.full(n, "", dtype=np.object_),
                ts_ns=stamps,
                version=np.full(n, version, dtype=np.int64),
                arm=np.full(n, arm, dtype=np.object_),
                key=np.zeros(n, dtype=np.uint64),
                raw=values,
                scores=values,
                threshold=np.full(n, threshold),
                labels=truth,
                label_ns=arrived.astype(np.int64),
                total_us=np.full(n, 500, dtype=np.int64),
                flags=np.zeros(n, dtype=np.int64),
                columns=columns,
            )
        )
        self._register("prediction", stamps)
        self._register("feedback", np.asarray(arrived, dtype=np.int64)[np.asarray(arrived) > 0])

    def fail(self, ts_ns: int, *, requests: int, failures: int, version: int = 1, arm: str = "champion") -> None:
        """Log requests of which some failed."""
        self._failures.setdefault(version, []).append((ts_ns, arm, requests, failures))
        self._register("failure", np.array([ts_ns], dtype=np.int64))

    def forget(self) -> None:
        """Lose all rows, as retention does."""
        self._blocks.clear()

    def write(
        self,
        segments: Sequence[SegmentInfo],
        records: Iterator[LogRecord],
        now: datetime,
        *,
        beside: Sequence[LogPart] = (),
    ) -> tuple[LogPart, ...]:
        """Refuse: this table is filled by ``add``."""
        raise NotImplementedError

    def find(self, parts: Sequence[LogPart], prediction_id: str) -> PredictionRecord | None:
        """Refuse: this table holds no records."""
        raise NotImplementedError

    def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
        """Return the rows of the days named by the parts."""
        days = {part.date for part in parts if part.kind == "prediction"}
        chosen = [_pick(block, query, days) for block in self._blocks]
        kept = [block for block in chosen if block.n] or [_pick(_nothing(), query, days)]
        arrays = {
            name: np.concatenate([np.asarray(getattr(block, name)) for block in kept])
            for name in JoinedRows.__slots__
            if name not in ("n", "columns")
        }
        columns: dict[str, Array] = {
            name: np.concatenate([np.asarray(block.columns[name]) for block in kept])
            for name in (kept[0].columns if query.with_columns else ())
        }
        order = np.argsort(arrays["ts_ns"], kind="stable")
        self.rows_read += order.size
        arrays = {name: values[order] for name, values in arrays.items()}
        columns = {name: np.asarray(values)[order] for name, values in columns.items()}
        return JoinedRows(n=order.size, columns=columns, **arrays)

    def failures(self, parts: Sequence[LogPart], query: RowQuery) -> tuple[FailureCount, ...]:
        """Count answered rows as requests, and what ``fail`` logged."""
        days = {part.date for part in parts}
        counts: dict[tuple[int, str], tuple[int, int]] = {}
        for block in self._blocks:
            kept = _pick(block, replace(query, arms=(), versions=()), days)
            for version, arm in zip(np.asarray(kept.version).tolist(), np.asarray(kept.arm).tolist(), strict=True):
                requests, failed = counts.get((version, arm), (0, 0))
                counts[version, arm] = (requests + 1, failed)
        for version, entries in self._failures.items():
            for ts_ns, arm, requests, failed in entries:
                if query.start_ns <= ts_ns < query.end_ns and _day(ts_ns) in days:
                    before = counts.get((version, arm), (0, 0))
                    counts[version, arm] = (before[0] + requests, before[1] + failed)
        return tuple(
            FailureCount(version=version, arm=arm, requests=requests, failures=failed)
            for (version, arm), (requests, failed) in counts.items()
        )

    def _register(self, kind: str, stamps: Array) -> None:
        """Write one part's metadata row per day."""
        values = np.asarray(stamps, dtype=np.int64)
        days = np.array([_day(stamp) for stamp in values.tolist()])
        for day in np.unique(days).tolist():
            chosen = values[days == day]
            low, high = int(chosen.min()), int(chosen.max())
            count = self.metadata.read(lambda tx: len(tx.list(LogPart, limit=5_000)))
            part = LogPart(
                id=f"part_{low:016x}_{kind}_{count:08d}",
                deployment=self.deployment,
                kind=kind,
                date=day,
                path=f"{kind}-{count}",
                rows=int(chosen.size),
                size_bytes=0,
                min_ts_ns=low,
                max_ts_ns=high,
                created_at=_EPOCH,
            )
            self.metadata.write(lambda tx, part=part: tx.add(part))  # type: ignore[misc]


@dataclass
class Versions:
    """A ``VersionBook`` of given versions of one model."""

    known: tuple[ModelVersion, ...]

    def resolve(self, reference: str) -> ModelVersion:
        """Return the version of ``name@number``."""
        for version in self.known:
            if reference == f"{version.model_name}@{version.number}":
                return version
        msg = "version"
        raise UnknownName.among(msg, reference, [f"{one.model_name}@{one.number}" for one in self.known])

    def derive(self, parent: ModelVersion, *, calibration: CalibrationMap, note: str, by: str) -> ModelVersion:
        """Refuse: the versions are given."""
        raise NotImplementedError

    def register(
        self,
        model: ModelSpec,
        data: DataSpec,
        *,
        by: str,
        origin: str = "added",
        parent: ModelVersion | None = None,
        trigger_id: str = "",
        progress: Progress | None = None,
    ) -> ModelVersion:
        """Refuse: the versions are given."""
        raise NotImplementedError


def _day(ts_ns: int) -> str:
    """Return the UTC day of a time."""
    return (_EPOCH + timedelta(microseconds=ts_ns // 1_000)).date().isoformat()


def _nothing() -> JoinedRows:
    """Return no rows."""
    none, texts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.object_)
    table = np.zeros((0, 1))
    return JoinedRows(
        n=0,
        ids=texts,
        parent_ids=texts,
        ts_ns=none,
        version=none,
        arm=texts,
        key=none,
        raw=table,
        scores=table,
        threshold=table[:, 0],
        labels=texts,
        label_ns=none,
        total_us=none,
        flags=none,
        columns={},
    )


def _pick(block: JoinedRows, query: RowQuery, days: set[str]) -> JoinedRows:
    """Return the rows of a block that a query asks for, with the labels known by then."""
    stamps = np.asarray(block.ts_ns)
    keep = (stamps >= query.start_ns) & (stamps < query.end_ns)
    if query.versions:
        keep &= np.isin(np.asarray(block.version), query.versions)
    if query.arms:
        keep &= np.array([arm in query.arms for arm in np.asarray(block.arm).tolist()], dtype=bool)
    rows = np.flatnonzero(keep)
    rows = rows[[_day(stamp) in days for stamp in stamps[rows].tolist()]] if rows.size else rows
    arrays = {
        name: np.asarray(getattr(block, name))[rows] for name in JoinedRows.__slots__ if name not in ("n", "columns")
    }
    until = query.labelled_until_ns
    hidden = arrays["label_ns"] > (until if until is not None else -1)
    arrays["labels"] = arrays["labels"].copy()
    arrays["labels"][hidden | (arrays["label_ns"] == 0)] = None
    arrays["label_ns"] = np.where(hidden, 0, arrays["label_ns"])
    columns: dict[str, Array] = {name: np.asarray(values)[rows] for name, values in block.columns.items()}
    return JoinedRows(n=rows.size, columns=columns, **arrays)
