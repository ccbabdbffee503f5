"""Logged rows as tests write them: who answered what, when, and what was true."""

# ruff: noqa: ARG002 - fakes take what their ports say

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.log import FailureCount, JoinedRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilter.contracts.arrays import Array
    from kilter.contracts.log import LogPart, RowQuery, SegmentInfo
    from kilter.contracts.prediction import LogRecord, PredictionRecord

__all__ = ["LogTable", "LoggedRow", "joined"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LoggedRow:
    """One logged row: who answered what, when, and what was true."""

    at: datetime
    version: int = 1
    arm: str = "champion"
    raw: float = 0.5
    score: float | None = None
    label: str | None = None
    label_at: datetime | None = None
    rollout_id: str = ""
    kind: str = "prediction"
    is_failure: bool = False
    parent: str = ""
    key: int | None = None
    x: float = 0.0


@dataclass
class LogTable:
    """Implements ``PredictionTable`` over a list of rows."""

    logged: list[LoggedRow] = field(default_factory=list)
    fault: Exception | None = None

    def write(
        self,
        segments: Sequence[SegmentInfo],
        records: Iterator[LogRecord],
        now: datetime,
        *,
        beside: Sequence[LogPart] = (),
    ) -> tuple[LogPart, ...]:
        """Write nothing."""
        return ()

    def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
        """Return the rows that the query asks for, in order of time."""
        if self.fault is not None:
            raise self.fault
        chosen = [
            (place, row)
            for place, row in enumerate(self.logged)
            if not row.is_failure and row.kind == query.kind and _matches(row, query)
        ]
        return joined(sorted(chosen, key=lambda pair: pair[1].at), query.labelled_until_ns)

    def failures(self, parts: Sequence[LogPart], query: RowQuery) -> tuple[FailureCount, ...]:
        """Count requests and failures by version and arm."""
        if self.fault is not None:
            raise self.fault
        counts: dict[tuple[int, str], list[int]] = {}
        for row in self.logged:
            if _matches(row, query):
                count = counts.setdefault((row.version, row.arm), [0, 0])
                count[0] += 1
                count[1] += row.is_failure
        return tuple(
            FailureCount(version=number, arm=arm, requests=n, failures=bad)
            for (number, arm), (n, bad) in counts.items()
        )

    def find(self, parts: Sequence[LogPart], prediction_id: str) -> PredictionRecord | None:
        """Find nothing."""


def joined(rows: Sequence[tuple[int, LoggedRow]], until_ns: int | None = None) -> JoinedRows:
    """Put numbered rows into columns; labels after ``until_ns`` are not seen."""
    seen = [
        row.label if row.label is not None and (until_ns is None or _ns(row.label_at or row.at) < until_ns) else None
        for _, row in rows
    ]
    raw = np.array([[1.0 - row.raw, row.raw] for _, row in rows]).reshape(-1, 2)
    scores = [row.raw if row.score is None else row.score for _, row in rows]
    return JoinedRows(
        n=len(rows),
        ids=_objects([f"{place:08d}:0" for place, _ in rows]),
        parent_ids=_objects([row.parent for _, row in rows]),
        ts_ns=np.array([_ns(row.at) for _, row in rows], dtype=np.int64),
        version=np.array([row.version for _, row in rows], dtype=np.int64),
        arm=_objects([row.arm for _, row in rows]),
        key=np.array([place if row.key is None else row.key for place, row in rows], dtype=np.uint64),
        raw=raw,
        scores=np.array([[1.0 - score, score] for score in scores]).reshape(-1, 2),
        threshold=np.full(len(rows), 0.5),
        labels=_objects(seen),
        label_ns=np.array(
            [0 if label is None else _ns(row.label_at or row.at) for label, (_, row) in zip(seen, rows, strict=True)],
            dtype=np.int64,
        ),
        total_us=np.zeros(len(rows), dtype=np.int64),
        flags=np.zeros(len(rows), dtype=np.int64),
        columns={"x": np.array([row.x for _, row in rows], dtype=np.float64)},
    )


def _matches(row: LoggedRow, query: RowQuery) -> bool:
    """Say whether a query asks for a row, its kind apart."""
    return (
        query.start_ns <= _ns(row.at) < query.end_ns
        and (not query.versions or row.version in query.versions)
        and (not query.arms or row.arm in query.arms)
        and (not query.rollout_id or row.rollout_id == query.rollout_id)
    )


def _objects(values: Sequence[str | None]) -> Array:
    """Return an object array."""
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array


def _ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
