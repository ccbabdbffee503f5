"""Every answer is written at its level, redacted, or the failure is seen."""

# ruff: noqa: ANN401 - options are passed on

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.prediction import Arm, EventRecord, Flag, PredictionRecord, RecordKind, SchemaRecord
from kilter.contracts.route import Route, RouteVariant
from kilter.errors import JournalUnavailable
from kilter.services.journal import Journal
from kilter.testing.log import START_NS, feedback, request_id, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.log import SegmentInfo
    from kilter.contracts.prediction import LogRecord

DIGEST = schema().digest


class ListLog:
    """A log in memory that can be full."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.calls: list[str] = []
        self.is_full = False

    def append(self, records: Sequence[LogRecord]) -> None:
        if self.is_full:
            message = "full"
            raise JournalUnavailable(message)
        self.calls.append("append")
        self.records += records

    def sync(self) -> None:
        self.calls.append("sync")

    def seal(self) -> SegmentInfo | None:
        self.calls.append("seal")
        return None

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


def test_level_disk_is_reached_by_waiting(journal: Journal, log: ListLog) -> None:
    predict(journal, route(durable="disk"))
    asyncio.run(journal.durable())
    assert log.calls == ["append", "sync"]


def test_level_memory_gathers_until_it_is_flushed_or_full(journal: Journal, log: ListLog) -> None:
    on = route(durable="memory")
    predict(journal, on)
    assert not log.records
    journal.flush()
    journal.flush()
    assert (len(log.records), log.calls) == (1, ["append"])
    for _ in range(2):
        predict(journal, on, raw=bytes(8_800_000))
    assert len(log.records) == 2
    journal.seal()
    assert (len(log.records), log.calls[-1]) == (3, "seal")


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
    journal.sync()
    journal.close()
    assert (len(log.records), log.calls) == (1, ["close", "sync", "append", "close"])


def test_a_schema_is_told_to_the_log() -> None:
    log = ListLog()
    Journal(log=log, clock=TickingClock()).describe(schema())
    assert [type(record) for record in log.records] == [SchemaRecord]
