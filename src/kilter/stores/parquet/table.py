"""The prediction log by columns: Parquet parts by deployment, kind, day; joined with labels by DuckDB."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kilter.contracts.log import FailureCount, JoinedRows, LogPart
from kilter.contracts.prediction import (
    EventRecord,
    FeedbackRecord,
    LogRecord,
    PredictionRecord,
    RecordKind,
    SchemaRecord,
)
from kilter.policy.parts import live
from kilter.stores.parquet._files import read_part, unreadable, write_part
from kilter.stores.parquet._join import (
    BOOK,
    LabelJoin,
    in_time_order,
    joined_rows,
    last_observed_ns,
    no_labels,
    union_of,
)
from kilter.stores.parquet._rows import event_table, feedback_table, prediction_table, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilter.contracts.log import RowQuery, SegmentInfo

__all__ = ["ParquetTable"]

_KINDS = {RecordKind.PREDICTION: "prediction", RecordKind.SHADOW: "shadow", RecordKind.FAILURE: "failure"}
_CACHE_BYTES = 64 * 1024 * 1024
_LABEL_LEAD_NS = 3_600 * 1_000_000_000  # clocks of two processes differ; a label may seem older than its row


@dataclass(slots=True)
class _Group:
    """Records of one deployment, kind and day by identity, and how many came again."""

    found: dict[str, LogRecord]
    doubles: int = 0


class ParquetTable:
    """Parts of the log below one folder.

    Guarantees: those of ``PredictionTable``. Keys and bytes depend on the segments' digests alone.
    ``rows`` takes all parts of a deployment and opens those that the range can touch. Labels given
    by entity mean that entity's latest row at or before the observation. Safe from threads.

    Parameters
    ----------
    folder : str or Path
        Where the parts are; ``LogPart.path`` is relative to it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._join = LabelJoin()
        self._cache: OrderedDict[tuple[str, bool], pa.Table] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def write(
        self,
        segments: Sequence[SegmentInfo],
        records: Iterator[LogRecord],
        now: datetime,
        *,
        beside: Sequence[LogPart] = (),
    ) -> tuple[LogPart, ...]:
        """Write the records of these segments as parts by deployment, kind and day.

        Parameters
        ----------
        segments : sequence of SegmentInfo
            Where the records come from; their digests name the parts.
        records : iterator of LogRecord
            All records of the segments. Of two with one id and kind the first is kept.
        now : datetime
            Written into the parts' rows, not into the files.
        beside : sequence of LogPart, default none
            Committed parts: what stands in them is not written again.

        Returns
        -------
        tuple of LogPart
            In order of their ids, which is by time. Their ``records`` and ``doubles`` add up to the
            records given, unless there is no part at all.

        Raises
        ------
        StoreError
            If the parts cannot be written.
        """
        schemas: dict[str, SchemaRecord] = {}
        groups: dict[tuple[str, str, str], _Group] = {}
        for record in records:
            if isinstance(record, SchemaRecord):
                schemas[record.digest] = record
                continue
            kind, identity = _kind_of(record)
            date = datetime.fromtimestamp(record.ts_ns // 1_000_000_000, UTC).date().isoformat()
            group = groups.setdefault((record.deployment, kind, date), _Group({}))
            group.doubles += identity in group.found
            group.found.setdefault(identity, record)
        sources = sorted(segment.digest for segment in segments)
        parts, left = [], 0
        for place, group in sorted(groups.items()):
            dropped = self._drop(place, group, beside)
            group.doubles += len(dropped)
            if not group.found:
                left += group.doubles
                continue
            table = _table_of(place[1], tuple(group.found.values()), schemas)
            part = write_part(self._folder, place, table, sources=[*sources, *dropped], now=now)
            parts.append(replace(part, records=len(group.found), doubles=group.doubles))
        if parts and left:
            parts[0] = replace(parts[0], doubles=parts[0].doubles + left)
        return tuple(sorted(parts, key=lambda part: part.id))

    def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
        """Return rows joined with the winning label: largest (observed, received, feedback id).

        Parameters
        ----------
        parts : sequence of LogPart
            All parts of the deployment, of the query's kind and of feedback.
        query : RowQuery
            Which rows, and up to when labels are seen.

        Returns
        -------
        JoinedRows
            In order of time, then id. ``parent_ids`` name the parent's row.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        mine = sorted((part for part in live(parts) if part.deployment == query.deployment), key=lambda part: part.id)
        asked = [part for part in mine if part.kind == query.kind]
        chosen = [part for part in asked if part.max_ts_ns >= query.start_ns and part.min_ts_ns < query.end_ns]
        read = [self._read(part, with_columns=query.with_columns) for part in chosen or asked[-1:]]
        table = in_time_order(union_of([_restrict(item, query) for item in read]))
        if query.limit is not None:
            table = table.slice(0, query.limit)
        labels, label_ns = self._labels(table, asked, mine, query)
        return joined_rows(table, labels, label_ns)

    def failures(self, parts: Sequence[LogPart], query: RowQuery) -> tuple[FailureCount, ...]:
        """Count requests and failures by version and arm.

        Parameters
        ----------
        parts : sequence of LogPart
            Parts of the kinds prediction, shadow and failure; others are passed over.
        query : RowQuery
            Which requests; its kind does not matter.

        Returns
        -------
        tuple of FailureCount
            By version, then arm.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        counts: dict[tuple[int, str], list[int]] = {}
        for part in live(parts):
            is_ours = part.deployment == query.deployment and part.kind in _KINDS.values()
            if not (is_ours and part.max_ts_ns >= query.start_ns and part.min_ts_ns < query.end_ns):
                continue
            table = _restrict(self._read(part, with_columns=False), query)
            table = table.filter(pc.equal(table["row"], 0))
            pairs = zip(table["version"].to_pylist(), table["arm"].to_pylist(), strict=True)
            for pair in pairs:
                count = counts.setdefault(pair, [0, 0])
                count[0] += 1
                count[1] += part.kind == "failure"
        return tuple(
            FailureCount(version=version, arm=arm, requests=requests, failures=failures)
            for (version, arm), (requests, failures) in sorted(counts.items())
        )

    def find(self, parts: Sequence[LogPart], prediction_id: str) -> PredictionRecord | None:
        """Return one logged request by id (with or without ``:row``), or None.

        Parameters
        ----------
        parts : sequence of LogPart
            Parts to look into; those whose time fits the id are opened first.
        prediction_id : str
            ``<uuid>`` for the whole request, ``<uuid>:<row>`` for one of its rows.

        Raises
        ------
        StoreError
            If a part cannot be read.
        """
        identity, _, row = prediction_id.partition(":")
        near = [part for part in live(parts) if part.kind in _KINDS.values()]
        near.sort(key=lambda part: _distance_ns(part, identity))
        known = {name: kind for kind, name in _KINDS.items()}
        wanted = pc.field("id") == prediction_id
        if not row:
            wanted = (pc.field("id") >= f"{identity}:") & (pc.field("id") < f"{identity};")
        for part in near:
            try:
                table = pq.read_table(self._folder / part.path, filters=wanted, partitioning=None)
            except (OSError, pa.ArrowException) as cause:
                raise unreadable(part, cause) from cause
            if table.num_rows:
                return record_of(table.sort_by([("row", "ascending")]), known[part.kind])
        return None

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    def _drop(self, place: tuple[str, str, str], group: _Group, beside: Sequence[LogPart]) -> list[str]:
        """Take out of a group what stands in committed parts already; return its identities in order."""
        if not beside:
            return []
        stamps = [record.ts_ns for record in group.found.values() if not isinstance(record, SchemaRecord)]
        dropped = []
        for part in live(beside):
            is_near = part.max_ts_ns >= min(stamps) and part.min_ts_ns <= max(stamps)
            if (part.deployment, part.kind, part.date) == place and is_near:
                dropped += [name for name in _identities(read_part(self._folder, part)) if name in group.found]
        for name in dropped:
            group.found.pop(name, None)
        return sorted(set(dropped))

    def _read(self, part: LogPart, *, with_columns: bool) -> pa.Table:
        """Read one part; parts never change, so what was read lately is kept."""
        key = (part.path, with_columns)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        table = read_part(self._folder, part, has_inputs=with_columns)
        with self._lock:
            if key not in self._cache and table.nbytes <= _CACHE_BYTES // 4:
                self._cache[key] = table
                self._cached_bytes += table.nbytes
            while self._cached_bytes > _CACHE_BYTES:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return table

    def _labels(
        self, table: pa.Table, asked: Sequence[LogPart], mine: Sequence[LogPart], query: RowQuery
    ) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """Return the winning label of each row, and when it arrived."""
        until = query.labelled_until_ns
        since = query.start_ns - _LABEL_LEAD_NS
        labels = [
            _until(self._read(part, with_columns=True), until)
            for part in mine
            if part.kind == "feedback" and part.max_ts_ns >= since and (until is None or part.min_ts_ns <= until)
        ]
        known = pa.concat_tables(labels) if labels and table.num_rows else None
        if known is None or not known.num_rows:
            return no_labels(table.num_rows)
        last_ns = last_observed_ns(known)
        book = [
            self._read(part, with_columns=False).select(BOOK)
            for part in asked
            if last_ns is not None and part.max_ts_ns >= query.start_ns and part.min_ts_ns <= last_ns
        ]
        target = "parent_id" if query.kind == "shadow" else "id"
        return self._join.winners(table, known, union_of(book), target=target)


def _kind_of(record: LogRecord) -> tuple[str, str]:
    """Return the kind of a record's part, and what makes it the same record as another."""
    match record:
        case PredictionRecord():
            return _KINDS[record.kind], record.prediction_id
        case FeedbackRecord():
            return "feedback", record.feedback_id
        case _:
            event = cast("EventRecord", record)
            return "event", f"{event.ts_ns} {event.name} {event.detail}"


def _identities(table: pa.Table) -> list[str]:
    """Return what ``_kind_of`` says of the records of a part."""
    if "feedback_id" in table.column_names:
        names: list[str] = table["feedback_id"].to_pylist()
        return names
    if "detail" in table.column_names:
        rows = zip(*(table[name].to_pylist() for name in ("ts_ns", "name", "detail")), strict=True)
        return [f"{ts_ns} {name} {detail}" for ts_ns, name, detail in rows]
    return [name.rpartition(":")[0] for name in table.filter(pc.equal(table["row"], 0))["id"].to_pylist()]


def _table_of(kind: str, records: Sequence[LogRecord], schemas: Mapping[str, SchemaRecord]) -> pa.Table:
    """Return the records of one part as a table."""
    if kind == "feedback":
        return feedback_table(cast("Sequence[FeedbackRecord]", records))
    if kind == "event":
        return event_table(cast("Sequence[EventRecord]", records))
    return prediction_table(cast("Sequence[PredictionRecord]", records), schemas)


def _restrict(table: pa.Table, query: RowQuery) -> pa.Table:
    """Keep the rows that a query asks for."""
    ts_ns = table["ts_ns"]
    keep = pc.and_(pc.greater_equal(ts_ns, query.start_ns), pc.less(ts_ns, query.end_ns))
    if query.versions:
        keep = pc.and_(keep, pc.is_in(table["version"], pa.array(query.versions, pa.int64())))
    if query.arms:
        keep = pc.and_(keep, pc.is_in(table["arm"].cast(pa.string()), pa.array(query.arms, pa.string())))
    if query.rollout_id:
        keep = pc.and_(keep, pc.equal(table["rollout_id"].cast(pa.string()), query.rollout_id))
    return table.filter(keep)


def _until(table: pa.Table, until_ns: int | None) -> pa.Table:
    """Keep what had arrived by then."""
    return table if until_ns is None else table.filter(pc.less_equal(table["ts_ns"], until_ns))


def _distance_ns(part: LogPart, identity: str) -> int:
    """Return how far a part is from the time inside a UUIDv7; 0 for another kind of id."""
    digits = identity.replace("-", "")[:12]
    if len(digits) < 12 or not set(digits) <= set("0123456789abcdef"):
        return 0
    at_ns = int(digits, 16) * 1_000_000
    return max(part.min_ts_ns - at_ns, at_ns - part.max_ts_ns, 0)
