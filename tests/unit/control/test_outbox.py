"""The outbox: at least once, in order, waiting longer and longer, never dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.evidence import AuditRow
from kilter.control.outbox import MOST_ATTEMPTS, Dispatched, Outbox, back_off
from kilter.errors import Conflict
from kilter.services.governance import Governance
from kilter.stores.memory import MemoryMetadata
from kilter.testing.panel import GivenClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """An outbox, and handlers that fail for the events named."""

    store: MemoryMetadata = field(default_factory=MemoryMetadata)
    failing: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        governance = Governance(metadata=self.store, clock=GivenClock(NOW))
        self.outbox = Outbox(metadata=self.store, auditor=governance, handlers={"t": (self.handle,)})

    def handle(self, event: OutboxEvent, now: datetime) -> None:
        assert now.tzinfo is not None
        if event.id in self.failing:
            message = f"cannot do {event.id}"
            raise Conflict(message)
        self.seen.append(event.id)

    def put(self, name: str, *, subject: str = "d", topic: str = "t", available_at: datetime = NOW) -> None:
        event = OutboxEvent(
            id=name, topic=topic, subject=subject, payload={}, created_at=NOW, available_at=available_at
        )
        self.store.write(lambda tx: tx.add(event))

    def get(self, name: str) -> OutboxEvent:
        event = self.store.read(lambda tx: tx.get(OutboxEvent, name))
        assert event is not None
        return event


@pytest.fixture
def world() -> World:
    return World()


def names(report: Dispatched) -> list[str]:
    return [event.id for event in report.delivered]


def test_events_are_delivered_once_in_order(world: World) -> None:
    for name in ("e1", "e2", "e3"):
        world.put(name)
    assert names(world.outbox.dispatch(NOW, NOW)) == ["e1", "e2", "e3"]
    assert names(world.outbox.dispatch(NOW, NOW)) == []
    assert world.seen == ["e1", "e2", "e3"]


def test_a_failing_event_keeps_back_its_subject_alone(world: World) -> None:
    world.put("e1", subject="a")
    world.put("e2", subject="a")
    world.put("e3", subject="b")
    world.failing = {"e1"}
    report = world.outbox.dispatch(NOW, NOW)
    assert (names(report), report.failed) == (["e3"], 1)
    assert world.get("e1").attempts == 1
    assert world.get("e1").last_error == "cannot do e1"


def test_a_failed_event_waits_on_both_clocks(world: World) -> None:
    world.put("e1")
    world.failing = {"e1"}
    world.outbox.dispatch(NOW, NOW)
    world.failing = set()
    # A replayed clock that leaps ahead must not use the attempts up.
    assert names(world.outbox.dispatch(NOW + timedelta(days=9), NOW)) == []
    assert names(world.outbox.dispatch(NOW, NOW + timedelta(seconds=1))) == []
    assert names(world.outbox.dispatch(NOW + timedelta(seconds=1), NOW + timedelta(seconds=1))) == ["e1"]


def test_an_event_of_the_future_waits(world: World) -> None:
    world.put("e1", available_at=NOW + timedelta(hours=1))
    assert names(world.outbox.dispatch(NOW, NOW)) == []


def test_an_event_that_nobody_handles_is_done(world: World) -> None:
    world.put("e1", topic="news")
    assert names(world.outbox.dispatch(NOW, NOW)) == ["e1"]
    assert world.get("e1").is_done


def test_an_event_is_parked_after_twenty_attempts_and_lets_others_pass(world: World) -> None:
    world.put("e1")
    world.put("e2")
    world.failing = {"e1"}
    at = NOW
    for _ in range(MOST_ATTEMPTS - 1):
        assert world.outbox.dispatch(at, at).parked == ()
        at += timedelta(minutes=15)
    report = world.outbox.dispatch(at, at)
    assert [event.id for event in report.parked] == ["e1"]
    assert world.get("e1").is_parked
    assert not world.get("e1").is_done
    assert names(report) == ["e2"]
    rows = world.store.read(lambda tx: tx.list(AuditRow, where={"action": "event.parked"}))
    assert [row.detail["event"] for row in rows] == ["e1"]


def test_waits_double_up_to_a_quarter_of_an_hour() -> None:
    assert [back_off(k).total_seconds() for k in (1, 2, 3, 10, 11, 99)] == [1, 2, 4, 512, 900, 900]


def test_rounds_add_up() -> None:
    total = Dispatched(failed=1) + Dispatched(failed=2)
    assert total.failed == 3
