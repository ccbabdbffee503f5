"""Every answer is written at its level, redacted, or the failure is seen."""

# ruff: noqa: ANN401 - options are passed on

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.log import Room
from kilter.contracts.prediction import Arm, EventRecord, Flag, PredictionRecord, RecordKind, SchemaRecord
from kilter.contracts.route import Route, RouteVariant
from kilter.errors import InvalidRequest, JournalUnavailable
from kilter.services.journal import Journal
from kilter.testing.log import START_NS, feedback, request_id, schema
from kilter.testing.meters import MemoryMeters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.log import SegmentInfo
    from kilter.contracts.prediction import LogRecord

DIGEST = schema().digest


class ListLog:
    """A log in memory that can be full, and whose device can refuse."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.calls: list[str] = []
        self.is_full = False
        self.bad_syncs = 0
        self.free_bytes = 2**40
        self.syncing = threading.Event()
        self.syncing.set()

    def append(self, records: Sequence[LogRecord]) -> None:
        if self.is_full:
            message = "full"
            raise JournalUnavailable(message, why="No space left on device")
        if any(isinstance(record, PredictionRecord) and record.key < 0 for record in records):
            message = "unfit"
            raise InvalidRequest(message)
        self.calls.append("append")
        self.records += records

    def sync(self) -> None:
        assert self.syncing.wait(10)
        self.calls.append("sync")
        if self.bad_syncs:
            self.bad_syncs -= 1
            message = "the device refuses"
            raise JournalUnavailable(message)

    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        self.calls.append(f"end {older_than_s:g}")
        if self.is_full:
            message = "full"
            raise JournalUnavailable(message)
        return None

    def seal(self) -> SegmentInfo | None:
        self.calls.append("seal")
        return None

    def room(self) -> Room:
        return Room(free_bytes=self.free_bytes, total_bytes=2**41, unsynced_bytes=7)

    def close(self) -> None:
        self.calls.append("close")


class TickingClock:
    def __init__(self) -> None:
        self.at_ns = START_NS

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at_ns / 1e9, UTC)

    def time_ns(self) -> int:
        self.at_ns += 1
        return self.at_ns


@pytest.fixture
def log() -> ListLog:
    return ListLog()


@pytest.fixture
def journal(log: ListLog) -> Journal:
    journal = Journal(log=log, clock=TickingClock())
    journal.describe(schema())
    log.records.clear()
    log.calls.clear()
    return journal


def route(**changes: Any) -> Route:
    champion = RouteVariant(version=1, digest=Digest(DIGEST))
    return Route(deployment="ward", champion=champion, rollout_id="r1", **changes)


def predict(journal: Journal, on: Route, **changes: Any) -> bool:
    answers = np.array([[0.1, 0.9], [0.2, 0.8]])
    options: dict[str, Any] = {
        "kind": RecordKind.PREDICTION,
        "prediction_id": request_id(1),
        "ts_ns": START_NS,
        "deployment": on.deployment,
        "version": 1,
        "digest": DIGEST,
        "generation": 3,
        "arm": Arm.CHAMPION,
        "propensity": 1.0,
        "face": "predict",
        "rows": 2,
        "numeric": np.arange(4.0).tobytes(),
        "text": ("a", None),
        "raw": answers.tobytes(),
        "outputs": b"",
        "threshold": 0.5,
        "key": 7,
    } | changes
    return journal.predicted(on, PredictionRecord(**options))


def only(log: ListLog) -> PredictionRecord:
    (record,) = log.records
    assert isinstance(record, PredictionRecord)
    return record


def test_an_answer_is_written_as_it_is(journal: Journal, log: ListLog) -> None:
    assert predict(journal, route())
    assert (only(log).text, only(log).flags, log.calls) == (("a", None), 0, ["append"])


def test_a_failure_without_inputs_has_nothing_to_redact(journal: Journal, log: ListLog) -> None:
    predict(journal, route(redact=("dose",)), kind=RecordKind.FAILURE, numeric=b"", text=(), raw=b"")
    assert (only(log).kind, only(log).flags) == (RecordKind.FAILURE, 0)


def test_redacted_columns_never_reach_the_log(journal: Journal, log: ListLog) -> None:
    predict(journal, route(redact=("dose", "site", "unknown")))
    predict(journal, route(redact=("dose", "site", "unknown")))
    record = log.records[1]
    assert isinstance(record, PredictionRecord)
    numeric = np.frombuffer(record.numeric).reshape(2, 2)
    assert numeric[:, 0].tolist() == [0.0, 2.0]
    assert np.isnan(numeric[:, 1]).all()
    assert record.text == (None, None)
    assert record.flags & Flag.INPUTS_REDACTED


def test_without_a_schema_a_redacting_route_writes_no_inputs(journal: Journal, log: ListLog) -> None:
    predict(journal, route(redact=("dose",)), digest="other")
    assert (only(log).numeric, only(log).text) == (b"", ())


def test_level_memory_gathers_until_it_is_flushed_or_full(journal: Journal, log: ListLog) -> None:
    on = route(durable="memory")
    predict(journal, on)
    assert not log.records
    journal.flush()
    journal.flush()
    assert (len(log.records), log.calls) == (1, ["append"])
    for _ in range(2):
        predict(journal, on, raw=bytes(4_400_000))
    assert len(log.records) == 2
    journal.seal()
    assert (len(log.records), log.calls[-1]) == (3, "seal")


def test_level_memory_counts_texts_as_well(journal: Journal, log: ListLog) -> None:
    for _ in range(2):
        predict(journal, route(durable="memory"), text=("a" * 4_400_000, None, ""))
    assert len(log.records) == 1
    for _ in range(2):
        predict(journal, route(durable="memory"), text=(None,) * 70_000)
    assert len(log.records) == 3


def test_what_is_larger_than_the_buffer_is_written_in_place(journal: Journal, log: ListLog) -> None:
    predict(journal, route(durable="memory"))
    predict(journal, route(durable="memory"), raw=bytes(8_800_000))
    assert (len(log.records), log.calls) == (2, ["append", "append"])


def test_a_full_log_fails_the_call_by_default(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    with pytest.raises(JournalUnavailable):
        predict(journal, route())
    assert (journal.failing, journal.dropped) == (True, 0)
    log.is_full = False
    assert predict(journal, route())
    assert not journal.failing


def test_a_full_log_is_counted_where_the_route_says_so(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    assert not predict(journal, route(on_full="count"))
    assert not journal.feedback(route(on_full="count"), [feedback(1), feedback(2)])
    journal.event("swap", "generation 3")
    assert journal.dropped == 4


def test_labels_are_written_in_one_append(journal: Journal, log: ListLog) -> None:
    assert journal.feedback(route(), [feedback(1), feedback(2)])
    assert journal.feedback(route(), [])
    assert (log.records, log.calls) == ([feedback(1), feedback(2)], ["append"])


def test_events_are_written(journal: Journal, log: ListLog) -> None:
    journal.event("swap", "generation 3", deployment="ward")
    assert log.records == [EventRecord(ts_ns=START_NS + 1, name="swap", detail="generation 3", deployment="ward")]


def test_closing_writes_what_is_gathered_and_closes_even_if_full(journal: Journal, log: ListLog) -> None:
    predict(journal, route(durable="memory"))
    log.is_full = True
    with pytest.raises(JournalUnavailable):
        journal.close()
    log.is_full = False
    journal.close()
    names = [record.name for record in log.records if isinstance(record, EventRecord)]
    assert (len(log.records), names) == (2, ["log.recovered"])
    assert log.calls == ["close", "append", "append", "close"]


def test_a_schema_is_told_to_the_log() -> None:
    log = ListLog()
    Journal(log=log, clock=TickingClock()).describe(schema())
    assert [type(record) for record in log.records] == [SchemaRecord]


def test_names_that_found_no_room_are_told_before_the_next_record() -> None:
    log = ListLog()
    journal = Journal(log=log, clock=TickingClock())
    log.is_full = True
    journal.describe(schema())
    assert journal.failing
    with pytest.raises(JournalUnavailable):
        predict(journal, route())
    log.is_full = False
    for _ in range(2):
        predict(journal, route())
    kinds = [type(record) for record in log.records if not isinstance(record, EventRecord)]
    assert kinds == [SchemaRecord, PredictionRecord, PredictionRecord]
    assert not journal.failing


def test_a_refusal_names_the_rule_and_the_other_one(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    with pytest.raises(JournalUnavailable, match="not answered, because the record cannot be kept: full") as caught:
        predict(journal, route())
    assert caught.value.why == "No space left on device"
    assert 'on_full = "count"' in (caught.value.hint or "")
    assert caught.value.details == {"on_full": "fail"}


def test_one_unfit_record_does_not_hold_up_the_others_of_level_memory(journal: Journal, log: ListLog) -> None:
    on = route(durable="memory")
    for key in (1, -1, 2):
        predict(journal, on, key=key)
    journal.flush()
    assert [record.key for record in log.records if isinstance(record, PredictionRecord)] == [1, 2]
    assert journal.dropped == 1


def test_an_unfit_record_is_the_callers_fault(journal: Journal) -> None:
    with pytest.raises(InvalidRequest):
        predict(journal, route(on_full="count"), key=-1)
    with pytest.raises(InvalidRequest):
        predict(journal, route(durable="memory"), key=-1, raw=bytes(8_800_000))
    assert journal.dropped == 0


# ── Level disk ───────────────────────────────────────────────────────────────────────────────────


async def kept(journal: Journal, on: Route) -> bool:
    return predict(journal, on) and await journal.durable(on)


def test_level_disk_waits_for_the_device(journal: Journal, log: ListLog) -> None:
    assert asyncio.run(kept(journal, route(durable="disk")))
    assert log.calls == ["append", "sync"]
    journal.close()


def test_while_one_sync_runs_the_next_group_forms(journal: Journal, log: ListLog) -> None:
    on = route(durable="disk")

    async def many() -> list[bool]:
        log.syncing.clear()
        first = asyncio.create_task(kept(journal, on))
        await asyncio.sleep(0)
        await asyncio.to_thread(_taken, journal)
        others = [asyncio.create_task(kept(journal, on)) for _ in range(20)]
        await asyncio.sleep(0)
        log.syncing.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(many()) == [True] * 21
    assert log.calls.count("sync") == 2
    assert log.calls.index("sync") > 1
    journal.close()


def _taken(journal: Journal) -> None:
    """Wait until the first group is taken."""
    commit = journal._commit  # noqa: SLF001 - the moment is of interest, not the value
    while commit._waiters:  # noqa: SLF001
        pass


def test_who_gives_up_waiting_holds_up_nobody(journal: Journal, log: ListLog) -> None:
    async def two() -> bool:
        log.syncing.clear()
        impatient = asyncio.create_task(kept(journal, route(durable="disk")))
        patient = asyncio.create_task(kept(journal, route(durable="disk")))
        await asyncio.sleep(0)
        impatient.cancel()
        log.syncing.set()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        return await patient

    assert asyncio.run(two())
    journal.close()


def test_after_one_failed_sync_everything_is_written_anew_and_synced_once_more(journal: Journal, log: ListLog) -> None:
    log.bad_syncs = 1
    assert asyncio.run(kept(journal, route(durable="disk")))
    assert log.calls == ["append", "sync", "append", "sync"]
    assert not journal.failing
    journal.close()


@pytest.mark.parametrize("bad_syncs", [1, 2])
def test_a_device_that_goes_on_refusing_is_stated(journal: Journal, log: ListLog, bad_syncs: int) -> None:
    log.bad_syncs = bad_syncs

    async def fill() -> None:
        assert predict(journal, route(durable="disk"))
        log.is_full = bad_syncs == 1  # there is no other file either
        with pytest.raises(JournalUnavailable, match="cannot be kept"):
            await journal.durable(route(durable="disk"))
        assert journal.failing
        log.is_full = False
        with pytest.raises(JournalUnavailable, match="device of the prediction log"):
            predict(journal, route(durable="disk"))
        assert not predict(journal, route(durable="disk", on_full="count"))
        assert predict(journal, route())  # level process does not wait for the device
        assert journal.failing
        await journal.tend()
        assert not journal.failing
        assert await kept(journal, route(durable="disk"))

    asyncio.run(fill())
    journal.close()


def test_a_refused_sync_is_counted_where_the_route_says_so(journal: Journal, log: ListLog) -> None:
    log.bad_syncs = 2
    on = route(durable="disk", on_full="count")

    async def fill() -> bool:
        assert journal.feedback(on, [feedback(1), feedback(2)])
        return await journal.durable(on, count=2)

    assert asyncio.run(fill()) is False
    assert journal.dropped == 2
    journal.close()


def test_without_a_loop_a_sync_is_waited_for_in_place(journal: Journal, log: ListLog) -> None:
    log.bad_syncs = 1
    journal.sync()
    assert log.calls == ["sync", "append", "sync"]
    log.bad_syncs = 2
    with pytest.raises(JournalUnavailable):
        journal.sync()
    assert journal.failing


def test_sealing_goes_on_beside_the_loop(journal: Journal, log: ListLog) -> None:
    predict(journal, route(durable="memory"))
    assert asyncio.run(journal.sealed()) is None
    assert log.calls == ["append", "end 0", "sync"]
    journal.close()


def test_closing_ends_the_thread(journal: Journal) -> None:
    before = threading.active_count()
    assert asyncio.run(kept(journal, route(durable="disk")))
    assert threading.active_count() == before + 1
    journal.close()
    assert threading.active_count() == before


# ── Upkeep ───────────────────────────────────────────────────────────────────────────────────────


def test_once_a_second_old_segments_end_and_everything_is_synced(journal: Journal, log: ListLog) -> None:
    asyncio.run(journal.tend())
    assert log.calls == ["end 60", "sync"]
    journal.close()


def test_a_log_that_refused_is_tried_again_without_any_request(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    assert not predict(journal, route(on_full="count"))
    with pytest.raises(JournalUnavailable):
        asyncio.run(journal.tend())
    assert journal.failing
    log.is_full = False
    asyncio.run(journal.tend())
    assert not journal.failing
    (event,) = log.records
    assert isinstance(event, EventRecord)
    assert (event.name, "1 records were lost" in event.detail) == ("log.recovered", True)
    journal.close()


def test_a_small_record_that_fits_does_not_end_the_refusing(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    assert not predict(journal, route(on_full="count"))
    log.is_full = False
    assert journal.feedback(route(), [feedback(1)])
    assert journal.failing
    log.free_bytes = 60_000
    with pytest.raises(JournalUnavailable, match="60000 bytes free"):
        asyncio.run(journal.tend())
    assert journal.failing
    assert predict(journal, route())
    assert not journal.failing


def test_a_disk_that_is_full_is_seen_before_the_next_request(journal: Journal, log: ListLog) -> None:
    log.is_full = True
    with pytest.raises(JournalUnavailable):
        asyncio.run(journal.tend())
    assert journal.failing


def test_low_water_is_told_once_and_again_after_there_was_room(journal: Journal, log: ListLog) -> None:
    for free in (2**31, 2**30 - 1, 2**29, 2**30 + 1, 2**31, 2**29):
        log.free_bytes = free
        asyncio.run(journal.tend())
    names = [record.name for record in log.records if isinstance(record, EventRecord)]
    assert names == ["log.low", "log.room", "log.low"]
    journal.close()


def test_lost_records_and_waiting_bytes_are_counted(log: ListLog) -> None:
    meters = MemoryMeters()
    journal = Journal(log=log, clock=TickingClock(), meters=meters)
    asyncio.run(journal.tend())
    log.is_full = True
    journal.feedback(route(on_full="count"), [feedback(1), feedback(2)])
    assert meters.value("kilter_log_lag_bytes") == 7
    assert meters.value("kilter_log_dropped_total") == 2
    log.is_full = False
    journal.close()
