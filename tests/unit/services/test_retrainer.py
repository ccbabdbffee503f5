# ruff: noqa: ARG002 - fakes take what their ports say
from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.decision import Decision, OutboxEvent
from kilter.contracts.deployment import Deployment
from kilter.contracts.evidence import AuditRow
from kilter.contracts.ids import AlertId, TriggerId
from kilter.contracts.model import FileEntry
from kilter.contracts.monitor import Alert, Severity
from kilter.contracts.spec import RetrainSpec
from kilter.contracts.trigger import Simulation, Trigger, TriggerState
from kilter.errors import Conflict, NotFound
from kilter.measures.profile.codec import encode_reference
from kilter.measures.profile.reference import build
from kilter.services.retrainer import Retrainer
from kilter.stores.memory import MemoryBlobs, MemoryMetadata
from kilter.testing.rollouts import SIGNATURE, START, Book, Ids, Notes, Watch, deployed, spec, version

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion

GOOD = Simulation(n=200, loss_before=0.25, loss_after=0.18, gain_low=0.03, auc=0.9, auc_low=0.87, auc_high=0.93)


@dataclass
class Bench:
    """Implements ``Recalibration`` by remembering."""

    replay: Simulation | None = GOOD
    refusal: Exception | None = None
    done: list[tuple[datetime | None, datetime, str]] = field(default_factory=list)

    def simulate(self, deployment: str, *, since: datetime | None, until: datetime) -> Simulation | None:
        return self.replay

    def recalibrate(
        self, deployment: str, *, since: datetime | None, until: datetime, by: str, reason: str
    ) -> ModelVersion:
        self.done.append((since, until, by))
        if self.refusal is not None:
            raise self.refusal
        return version(2)


@dataclass
class School:
    """Implements ``Training`` by remembering."""

    count: int = 5_000
    requested: list[str] = field(default_factory=list)

    def labels(self, deployment: str, now: datetime) -> int:
        return self.count

    def request(self, decision: Decision, *, now: datetime) -> Trigger:
        self.requested.append(decision.id)
        return Trigger(
            id=TriggerId("trg_1"),
            deployment=decision.deployment,
            parent=1,
            state=TriggerState.REQUESTED,
            reason=decision.reason,
            command="",
            data_from=now,
            holdout_from=now,
            data_to=now,
            seed=0,
            requested_at=now,
            updated_at=now,
            deadline_at=now,
        )

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        return None


class World:
    """A deployment with one open alert."""

    def __init__(self) -> None:
        self.store = MemoryMetadata()
        self.bench, self.school, self.watch = Bench(), School(), Watch(START + timedelta(days=30))
        self.blobs = MemoryBlobs()
        self.book = book = Book(self.store)
        book.add(version(1), version(2, origin="recalibrated", parent=1))
        deployed(self.store, replace(spec(), retrain=RetrainSpec(command="training:train")), champion=2)
        self.alert = Alert(
            id=AlertId("alert_1"),
            deployment="d",
            number=2,
            family="performance",
            severity=Severity.PAGE,
            headline="worse",
            since=START,
            window=3,
            log_evidence=9.0,
            log_threshold=5.0,
            causes=(),
            suggestion="look",
            opened_at=START,
            updated_at=START,
        )
        self.store.write(lambda tx: tx.add(self.alert))
        self.service = Retrainer(
            metadata=self.store,
            blobs=self.blobs,
            versions=book,
            recalibration=self.bench,
            training=self.school,
            auditor=Notes(),
            clock=self.watch,
            ids=Ids(),
        )

    def event(self, number: int = 1, topic: str = "alert.opened", **payload: str) -> OutboxEvent:
        now = self.watch.now()
        return OutboxEvent(
            id=f"evt_in_{number}",
            topic=topic,
            subject="d",
            payload=payload or {"alert": "alert_1"},
            created_at=now,
            available_at=now,
        )

    def decided(self) -> tuple[OutboxEvent, ...]:
        return self.store.read(lambda tx: tx.list(OutboxEvent, where={"topic": "decision.made"}))

    def audit(self) -> list[str]:
        return [row.action for row in self.store.read(lambda tx: tx.list(AuditRow))]


@pytest.fixture
def world() -> World:
    return World()


def test_an_alert_becomes_a_decision_with_its_event_and_audit_row(world: World) -> None:
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    assert (decision.command, decision.kind, decision.evidence) == ("recalibrate", "repair", ("alert_1",))
    assert [event.payload["decision"] for event in world.decided()] == [decision.id]
    assert world.audit() == ["decision.repair"]


def test_an_event_delivered_twice_is_decided_once(world: World) -> None:
    first = world.service.respond(world.event(), world.watch.now())
    assert world.service.respond(world.event(), world.watch.on(1)) == first
    assert len(world.decided()) == 1


def test_a_decision_is_carried_out_on_what_was_known_when_it_was_made(world: World) -> None:
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    world.service.respond(world.event(2, "decision.made", decision=decision.id), world.watch.on(5))
    assert world.bench.done == [(START, decision.at, "policy")]


def test_a_refused_repair_is_recorded_not_repeated_for_ever(world: World) -> None:
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    world.bench.refusal = Conflict("another rollout is open", why="version 7")
    world.service.respond(world.event(2, "decision.made", decision=decision.id), world.watch.now())
    assert world.audit()[-1] == "repair.refused"


def test_a_wish_that_may_not_be_granted_is_recorded_once_per_reason(world: World) -> None:
    world.service.respond(world.event(), world.watch.now())
    for number in range(2, 6):
        held = world.service.respond(world.event(number, "alert.updated"), world.watch.on(1))
        assert held is not None
        assert (held.kind, held.command) == ("suppressed", "")
    assert world.audit() == ["decision.repair", "decision.suppressed"]
    later = world.service.respond(world.event(9, "alert.updated"), world.watch.on(48))
    assert later is not None
    assert later.command == "recalibrate"


def test_a_fallen_ranking_is_retrained(world: World) -> None:
    world.bench.replay = None
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    assert decision.command == "retrain"
    world.service.respond(world.event(2, "decision.made", decision=decision.id), world.watch.now())
    assert world.school.requested == [decision.id]


def test_too_few_labels_to_learn_from_are_inconclusive(world: World) -> None:
    world.bench.replay = None
    world.school.count = 10
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    assert (decision.kind, decision.command) == ("inconclusive", "")


def test_closed_alerts_other_families_and_other_topics_are_left_alone(world: World) -> None:
    assert world.service.respond(world.event(1, "window.closed"), world.watch.now()) is None
    assert world.service.respond(world.event(2, alert="alert_9"), world.watch.now()) is None
    closed = replace(world.alert, closed_at=START, version=2)
    world.store.write(lambda tx: tx.replace(closed))
    assert world.service.respond(world.event(3), world.watch.now()) is None
    drift = replace(world.alert, id=AlertId("alert_2"), family="feature_drift")
    world.store.write(lambda tx: tx.add(drift))
    assert world.service.respond(world.event(4, alert="alert_2"), world.watch.now()) is None
    assert world.service.respond(world.event(5, "decision.made", decision="dec_9"), world.watch.now()) is None
    assert world.audit() == []


def test_what_the_weights_could_do_is_read_from_the_profile_of_their_line(world: World) -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(size=600)
    labels = (rng.uniform(size=600) < score).astype(np.float64)
    profile = build(SIGNATURE, {"x": score}, np.stack([1 - score, score], axis=1), labels)
    digest = world.blobs.put(encode_reference(profile))
    root = version(3)
    entry = FileEntry(path="profile.bin", size_bytes=1, digest=digest)
    manifest = replace(root.manifest, files=(*root.manifest.files, entry), profile_file="profile.bin")
    world.book.add(replace(root, manifest=manifest), version(4, origin="recalibrated", parent=3))
    state = world.store.read(lambda tx: tx.get(Deployment, "d"))
    assert state is not None
    world.store.write(lambda tx: tx.replace(replace(state, champion=4, version=2)))
    world.bench.replay = replace(GOOD, auc=0.4, auc_low=0.38, auc_high=0.42)
    decision = world.service.respond(world.event(), world.watch.now())
    assert decision is not None
    assert decision.command == "retrain"
    assert "when accepted" in decision.reason


def test_a_person_recalibrates_and_retrains_without_waiting(world: World) -> None:
    decision = world.service.recalibrate("d", by="me")
    assert (decision.by, decision.command, world.bench.done) == ("me", "recalibrate", [(None, decision.at, "me")])
    assert world.service.retrain("d", by="me", reason="").reason == "retraining asked for by me"
    assert world.decided() == ()
    assert world.service.tick("d", world.watch.now()) is None
    with pytest.raises(NotFound):
        world.service.retrain("nobody", by="me", reason="")
