"""Conformance kit of the prediction log: what every ``RecordLog`` with its ``SegmentStore`` must do.

A clause is given a function that opens a new writer and the store that reads what writers leave (both empty at
first), and raises AssertionError with the promise that was broken. Run all of ``LOG``. The builders make records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from struct import pack
from typing import TypeAlias

from kilter.contracts.log import RecordLog, Room, SegmentStore
from kilter.contracts.prediction import (
    Arm,
    EventRecord,
    FeedbackRecord,
    LogRecord,
    PredictionRecord,
    RecordKind,
    SchemaRecord,
)
from kilter.errors import NotFound

__all__ = ["LOG", "START_NS", "LogClause", "feedback", "prediction", "read_all", "request_id", "schema"]

LogClause: TypeAlias = Callable[[Callable[[], RecordLog], SegmentStore], None]

START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_STEP_NS = 1_000_000_000
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_LONG_AHEAD = datetime(2200, 1, 1, tzinfo=UTC)
_DIGEST = "sha256:" + "ab" * 32


def request_id(i: int) -> str:
    """Return the UUIDv7 of the i-th request, one second apart."""
    ms = f"{(START_NS + i * _STEP_NS) // 1_000_000:012x}"
    return f"{ms[:8]}-{ms[8:]}-7000-8000-{i:012x}"


def schema(digest: str = _DIGEST) -> SchemaRecord:
    """Return the schema that the records of ``prediction`` have."""
    return SchemaRecord(digest=digest, numeric=("age", "dose"), text=("site",), classes=("no", "yes"), target="ill")


def prediction(i: int, *, rows: int = 1) -> PredictionRecord:
    """Return the i-th request: two numbers and a text per row, two classes."""
    numbers = [float(i + j) for j in range(2 * rows)]
    raw = [part for j in range(rows) for part in (0.25 + j / 100, 0.75 - j / 100)]
    return PredictionRecord(
        kind=RecordKind.PREDICTION,
        prediction_id=request_id(i),
        ts_ns=START_NS + i * _STEP_NS,
        deployment="ward",
        version=1,
        digest=_DIGEST,
        generation=1,
        arm=Arm.CHAMPION,
        propensity=1.0,
        face="predict",
        rows=rows,
        numeric=pack(f"<{2 * rows}d", *numbers),
        text=tuple(None if j % 2 else "north" for j in range(rows)),
        raw=pack(f"<{2 * rows}d", *raw),
        outputs=b"",
        threshold=0.5,
        key=2**64 - 1 - i,
        total_us=40 + i,
    )


def feedback(i: int, label: str = "yes", *, delay_ns: int = 10 * _STEP_NS) -> FeedbackRecord:
    """Return a label of the i-th request that was observed and arrived after a delay."""
    at_ns = START_NS + i * _STEP_NS + delay_ns
    return FeedbackRecord(
        feedback_id=f"f{i:08d}-{label}-{delay_ns}",
        ts_ns=at_ns,
        deployment="ward",
        label=label,
        observed_ns=at_ns,
        prediction_id=request_id(i),
    )


def read_all(store: SegmentStore) -> list[LogRecord]:
    """Return every record of every sealed segment but the schemas."""
    records = (record for segment in store.sealed() for record in store.records(segment))
    return [record for record in records if not isinstance(record, SchemaRecord)]


def _require(holds: bool, promise: str) -> None:  # noqa: FBT001 - reads like assert
    """Fail with the promise that was broken."""
    if not holds:
        message = f"promise broken: {promise}"
        raise AssertionError(message)


def _sealed(log: RecordLog, records: Iterable[LogRecord]) -> None:
    """Append one by one, then seal."""
    for record in records:
        log.append((record,))
    log.seal()


def records_are_read_back_in_order(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Every kind of record comes back equal, in order."""
    shadow = prediction(3)._replace(kind=RecordKind.SHADOW, arm=Arm.SHADOW, parent_id=request_id(2))
    failure = prediction(4)._replace(
        kind=RecordKind.FAILURE, rows=0, numeric=b"", text=(), raw=b"", error_code="model.failed"
    )
    event = EventRecord(ts_ns=START_NS, name="swap", detail="generation 2")
    records: list[LogRecord] = [prediction(1), prediction(2, rows=3), shadow, failure, feedback(1), event]
    _sealed(open_log(), records)
    _require(read_all(store) == records, "records are read back equal, in order")


def one_append_takes_many(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Several records of one call come back in order, before those of the next."""
    log = open_log()
    log.append([prediction(i) for i in range(5)])
    log.append(())
    log.append([prediction(i) for i in range(5, 8)])
    log.seal()
    _require(read_all(store) == [prediction(i) for i in range(8)], "one append keeps the order of its records")


def a_seal_says_what_it_holds(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Counts and times are those of the records; the digest is known to the reader."""
    _sealed(open_log(), [prediction(7), prediction(2), feedback(1)])
    (info,) = store.sealed()
    _require(info.records == 3, "a seal counts its records")
    _require(info.min_ts_ns == prediction(2).ts_ns, "a seal knows its least time")
    _require(info.max_ts_ns == feedback(1).ts_ns, "a seal knows its greatest time")
    _require(info.digest.startswith("sha256:") and not info.damaged_bytes, "a sealed segment has a digest")


def an_open_segment_is_not_read(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """What is not sealed is nobody else's, whatever recovery does."""
    log = open_log()
    log.append((prediction(1),))
    _require(store.recover() == (), "recovery leaves a live writer alone")
    _require(store.sealed() == (), "an open segment is not sealed")
    log.append((prediction(2),))
    log.close()
    _require(len(read_all(store)) == 2, "a writer goes on after a recovery")


def an_empty_seal_leaves_nothing(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Nothing appended, nothing sealed, also when only a schema was told."""
    log = open_log()
    _require(log.seal() is None, "sealing nothing gives None")
    log.append((schema(),))
    _require(log.seal() is None, "a schema alone is nothing to seal")
    log.close()
    _require(store.sealed() == (), "an empty segment leaves no file")


def writers_do_not_mix(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Two writers at once make two segments, listed oldest first."""
    first, second = open_log(), open_log()
    first.append((prediction(1),))
    second.append((prediction(2),))
    first.append((prediction(3),))
    first.close()
    second.close()
    held = [[record for record in store.records(info) if record != schema()] for info in store.sealed()]
    _require(held == [[prediction(1), prediction(3)], [prediction(2)]], "each writer has its own segment, oldest first")


def every_segment_explains_itself(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """The schema of a version stands before its first record of every segment."""
    log = open_log()
    log.append((schema(),))
    for i in range(3):
        log.append((prediction(i), prediction(i + 10)))
        log.seal()
    for info in store.sealed():
        _require(next(iter(store.records(info))) == schema(), "a segment begins with its records' schema")
        told = [record for record in store.records(info) if isinstance(record, SchemaRecord)]
        _require(len(told) == 1, "a schema stands in a segment once")


def a_removed_segment_is_gone(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Removing twice is no error; reading it is NotFound."""
    _sealed(open_log(), [prediction(1)])
    (info,) = store.sealed()
    store.remove(info)
    store.remove(info)
    _require(store.sealed() == (), "a removed segment is not listed")
    try:
        list(store.records(info))
    except NotFound:
        return
    _require(False, "reading a removed segment raises NotFound")  # noqa: FBT003 - reads like assert


def a_retired_segment_is_out_of_sight_until_it_is_swept(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Retiring twice is no error; what is retired long enough goes, and earlier where room is tight."""
    for i in range(3):
        _sealed(open_log(), [prediction(i)])
    for info in store.sealed():
        store.retire(info)
        store.retire(info)
    _require(store.sealed() == (), "a retired segment is not listed")
    _require(store.recover() == (), "a retired segment is not recovered")
    seen: list[Room] = []

    def is_tight(room: Room) -> bool:
        """Ask for one more segment to go."""
        seen.append(room)
        return len(seen) <= 1

    store.sweep(_LONG_AGO, is_tight=is_tight)
    _require(len(seen) == 3, "young segments are kept, but for one where room is tight")
    room = store.sweep(_LONG_AHEAD, is_tight=lambda _: False)
    _require(room.free_bytes <= room.total_bytes, "a sweep tells the room that is left")
    seen.clear()
    store.sweep(_LONG_AGO, is_tight=is_tight)
    _require(not seen, "old segments are deleted")


def an_ended_segment_is_sealed_by_the_next_sync(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """The writer goes on at once; the device is waited for later."""
    log = open_log()
    _require(log.end() is None, "ending nothing gives None")
    log.append((prediction(1),))
    _require(log.end(older_than_s=3_600.0) is None, "a young segment is left open")
    _require(log.end() is not None, "a segment with a record is ended")
    log.append((prediction(2),))
    log.sync()
    _require(read_all(store) == [prediction(1)], "an ended segment is sealed by the next sync, the open one is not")
    log.append(())
    log.close()
    _require(read_all(store) == [prediction(1), prediction(2)], "nothing is lost at a turn")
    _require(0 < log.room().free_bytes <= log.room().total_bytes, "a log knows the room on its disk")


def syncing_is_allowed_at_any_time(open_log: Callable[[], RecordLog], store: SegmentStore) -> None:
    """Before the first record, between records, after a seal."""
    log = open_log()
    log.sync()
    log.append((prediction(1),))
    log.sync()
    log.seal()
    log.sync()
    log.close()
    log.close()
    _require(read_all(store) == [prediction(1)], "syncing changes nothing that is read")


LOG: tuple[LogClause, ...] = (
    records_are_read_back_in_order,
    one_append_takes_many,
    a_seal_says_what_it_holds,
    an_open_segment_is_not_read,
    an_empty_seal_leaves_nothing,
    writers_do_not_mix,
    every_segment_explains_itself,
    a_removed_segment_is_gone,
    a_retired_segment_is_out_of_sight_until_it_is_swept,
    an_ended_segment_is_sealed_by_the_next_sync,
    syncing_is_allowed_at_any_time,
)
