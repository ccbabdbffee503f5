"""The control loop: everything that is due, one failure at a time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.decision import Decision, OutboxEvent
from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert, MonitorTick
from kilter.contracts.spec import DeploymentSpec, ModelSpec, MonitorSpec
from kilter.control.lease import Fence, Leadership
from kilter.control.loop import Loop
from kilter.errors import StoreError
from kilter.services.governance import Governance
from kilter.stores.clock import UuidSource
from kilter.stores.memory import MemoryMetadata
from kilter.testing.panel import GivenClock

if TYPE_CHECKING:
    from kilter.contracts.rollout import Rollout
    from kilter.contracts.trigger import Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERY_S = 300.0


@dataclass
class Until:
    until_ns: int


@dataclass
class Services:
    """All services of the loop in one: note every call, fail where told."""

    clock: GivenClock
    calls: list[tuple[str, ...]] = field(default_factory=list)
    failing: set[tuple[str, str]] = field(default_factory=set)
    lag: timedelta = timedelta(0)

    def note(self, step: str, deployment: str, at: datetime) -> None:
        self.calls.append((step, deployment, at.strftime("%H:%M:%S")))
        if (step, deployment) in self.failing:
            message = f"{step} cannot"
            raise StoreError(message, hint="repair it")

    def collect(self, now: datetime) -> Until:
        self.note("collect", "", now)
        return Until(until_ns=int((now - self.lag).timestamp()) * 10**9)

    def adopt(self, now: datetime) -> tuple[str, ...]:
        self.note("adopt", "", now)
        return ()

    def respond(self, event: OutboxEvent, now: datetime) -> Decision | None:
        self.note("respond", event.subject, now)
        return None

    def done(self, step: str) -> list[str]:
        return [name for called, name, _ in self.calls if called == step]


@dataclass
class Caretaker:
    services: Services

    def tend(self, now: datetime) -> None:
        self.services.note("tend", "", now)


@dataclass
class Monitor:
    services: Services

    def tick(self, deployment: str, now: datetime) -> MonitorTick:
        self.services.note("monitor", deployment, now)
        return MonitorTick(deployment=deployment, closed=1)


@dataclass
class Deployer:
    services: Services

    def adopt(self, now: datetime) -> tuple[str, ...]:
        return self.services.adopt(now)

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        self.services.note("rollout", deployment, now)
        return None


@dataclass
class Retrainer:
    services: Services

    def respond(self, event: OutboxEvent, now: datetime) -> Decision | None:
        return self.services.respond(event, now)

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        self.services.note("repair", deployment, now)
        return None


class World:
    """A loop with two deployments, and two clocks."""

    def __init__(self, *names: str) -> None:
        self.clock, self.machine = GivenClock(NOW), GivenClock(datetime(2030, 1, 1, tzinfo=UTC))
        self.metadata = Fence(MemoryMetadata())
        self.services = Services(self.clock)
        self.governance = Governance(metadata=self.metadata, clock=self.clock)
        self.loop = self.another("one")
        for name in names or ("a", "b"):
            self.deploy(name, champion=1)

    def another(self, holder: str, caretaker: Caretaker | None = None) -> Loop:
        return Loop(
            metadata=self.metadata,
            collector=self.services,
            monitor=Monitor(self.services),
            deployer=Deployer(self.services),
            retrainer=Retrainer(self.services),
            caretaker=caretaker,
            auditor=self.governance,
            clock=self.clock,
            machine=self.machine,
            ids=UuidSource(self.machine),
            holder=holder,
            is_gone=lambda _: False,
        )

    def deploy(self, name: str, *, champion: int | None) -> None:
        spec = DeploymentSpec(model=ModelSpec(name=name, source="m.onnx"), monitor=MonitorSpec(every_s=EVERY_S))
        record = Deployment(
            id=name, spec=spec, champion=champion, previous=None, generation=1, created_at=NOW, updated_at=NOW
        )
        self.metadata.write(lambda tx: tx.add(record))

    def until(self, name: str) -> datetime | None:
        record = self.metadata.read(lambda tx: tx.get(Deployment, name))
        assert record is not None
        return record.monitored_until

    def alerts(self) -> list[Alert]:
        return list(self.metadata.read(lambda tx: tx.list(Alert)))

    def turn(self, *, after_s: float = 0.0, machine_s: float = 1.0):  # type: ignore[no-untyped-def]  # noqa: ANN201
        self.clock.pass_(seconds=after_s)
        self.machine.pass_(seconds=machine_s)
        return self.loop.turn(self.clock.now())


@pytest.fixture
def world() -> World:
    return World()


def test_a_turn_does_every_step_of_every_deployment_and_records_how_far_it_came(world: World) -> None:
    report = world.turn()
    assert [call[:2] for call in world.services.calls] == [
        ("adopt", ""),
        ("collect", ""),
        ("monitor", "a"),
        ("monitor", "b"),
        ("rollout", "a"),
        ("rollout", "b"),
        ("repair", "a"),
        ("repair", "b"),
    ]
    assert report.looked == ("a", "b")
    assert [tick.deployment for tick in report.ticks] == ["a", "b"]
    assert (world.until("a"), world.until("b")) == (NOW, NOW)


def test_between_two_looks_only_rollouts_and_repairs_go_on(world: World) -> None:
    world.turn()
    world.services.calls.clear()
    report = world.turn(after_s=EVERY_S - 1)
    assert report.looked == ()
    assert {call[0] for call in world.services.calls} == {"adopt", "rollout", "repair"}
    # The log is complete up to the last look only: nothing later may be judged.
    assert {call[2] for call in world.services.calls if call[0] != "adopt"} == {"00:00:00"}


def test_a_look_is_due_on_the_projects_clock(world: World) -> None:
    world.turn()
    report = world.turn(after_s=EVERY_S)
    assert report.looked == ("a", "b")
    assert world.until("a") == NOW + timedelta(seconds=EVERY_S)


def test_what_the_log_does_not_hold_yet_is_not_looked_at(world: World) -> None:
    world.services.lag = timedelta(seconds=40)
    report = world.turn(after_s=60)
    assert report.until == NOW + timedelta(seconds=20)
    assert world.until("a") == NOW + timedelta(seconds=20)


def test_progress_never_goes_back(world: World) -> None:
    world.turn()
    world.services.lag = timedelta(hours=1)
    world.turn(after_s=EVERY_S)
    assert world.until("a") == NOW


def test_a_deployment_without_a_champion_is_left_alone(world: World) -> None:
    world.deploy("c", champion=None)
    assert world.turn().looked == ("a", "b")


def test_one_deployments_failure_does_not_stop_the_others(world: World) -> None:
    world.services.failing = {("monitor", "a"), ("rollout", "a")}
    report = world.turn()
    assert report.looked == ("b",)
    assert (world.until("a"), world.until("b")) == (None, NOW)
    assert world.services.done("repair") == ["a", "b"]
    assert [(fault.deployment, fault.step, fault.times) for fault in report.faults] == [
        ("a", "monitor", 1),
        ("a", "rollout", 1),
    ]
    assert world.loop.pulse().faults == report.faults


def test_a_failing_step_backs_off_on_the_machines_clock(world: World) -> None:
    world.services.failing = {("monitor", "a")}
    for _ in range(4):
        world.turn(after_s=EVERY_S, machine_s=0.0)
    assert world.services.done("monitor").count("a") == 1
    world.turn(machine_s=1.0)
    assert world.services.done("monitor").count("a") == 2


def test_the_third_failure_in_a_row_is_alerted_and_the_first_success_closes_it(world: World) -> None:
    world.services.failing = {("monitor", "a")}
    for _ in range(2):
        world.turn(after_s=EVERY_S, machine_s=1_000)
    assert world.alerts() == []
    for _ in range(2):
        world.turn(after_s=EVERY_S, machine_s=1_000)
    [alert] = world.alerts()
    assert (alert.deployment, alert.family, alert.repeats, alert.closed_at) == ("a", "control", 1, None)
    assert alert.suggestion == "repair it"
    assert "monitor cannot" in alert.causes
    world.services.failing = set()
    world.turn(after_s=EVERY_S, machine_s=1_000)
    assert world.alerts()[0].closed_at is not None
    assert world.loop.pulse().faults == ()


def test_the_next_process_closes_what_the_last_one_left_open(world: World) -> None:
    world.services.failing = {("monitor", "a")}
    for _ in range(3):
        world.turn(after_s=EVERY_S, machine_s=1_000)
    world.services.failing = set()
    world.loop = world.another("two")
    world.turn(after_s=EVERY_S, machine_s=1_000)
    assert world.alerts()[0].closed_at is not None


def test_a_collector_that_fails_holds_up_the_look_but_not_the_loop(world: World) -> None:
    world.services.failing = {("collect", "")}
    report = world.turn()
    assert report.looked == ()
    assert world.services.done("monitor") == []
    world.services.failing = set()
    assert world.turn(machine_s=2.0).looked == ("a", "b")


def test_a_disk_that_runs_full_becomes_an_alert_and_holds_up_nothing(world: World) -> None:
    world.loop = world.another("one", Caretaker(world.services))
    world.services.failing = {("tend", "")}
    for _ in range(3):
        assert world.turn(after_s=EVERY_S, machine_s=60.0).looked == ("a", "b")
    (alert,) = world.alerts()
    assert alert.headline == "kilter itself is in trouble: care of the log fails for all deployments"
    assert alert.suggestion == "repair it"
    world.services.failing = set()
    world.turn(after_s=EVERY_S, machine_s=60.0)
    assert world.alerts()[0].closed_at is not None


def test_a_follower_does_nothing_until_the_leader_is_gone(world: World) -> None:
    follower = world.another("two")
    world.turn()
    world.services.calls.clear()
    assert not follower.turn(NOW).is_leader
    assert world.services.calls == []
    world.machine.pass_(seconds=60)
    assert follower.turn(NOW).is_leader


def test_a_leader_that_was_overtaken_writes_no_progress(world: World) -> None:
    world.turn()
    # The machine slept; another control plane took over.
    Leadership(metadata=world.metadata, holder="two").hold(world.machine.now() + timedelta(seconds=20))
    report = world.turn(after_s=EVERY_S, machine_s=1.0)
    assert report.is_leader  # it does not know yet
    assert world.until("a") == NOW


def put_event(world: World, name: str, topic: str) -> None:
    event = OutboxEvent(id=name, topic=topic, subject="a", payload={}, created_at=NOW, available_at=NOW)
    world.metadata.write(lambda tx: tx.add(event))


def test_alerts_and_decisions_reach_the_retrainer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for number, topic in enumerate(("alert.opened", "alert.updated", "decision.made", "alert.closed", "window.closed")):
        put_event(world, f"e{number}", topic)
    report = world.turn()
    assert len(report.dispatched.delivered) == 5
    assert world.services.done("respond") == ["a", "a", "a"]
    assert [record.message for record in caplog.records if record.name.endswith("loop")] == [
        "alert.opened",
        "alert.closed",
    ]


def test_an_event_that_cannot_be_delivered_is_alerted_and_cleared_by_the_next_that_can(world: World) -> None:
    world.services.failing = {("respond", "a")}
    put_event(world, "e1", "decision.made")
    for _ in range(20):
        world.turn(after_s=1_000, machine_s=1_000)
    [alert] = world.alerts()
    assert "delivery of decision.made" in alert.headline
    world.services.failing = set()
    put_event(world, "e2", "decision.made")
    world.turn(after_s=1_000, machine_s=1_000)
    assert world.alerts()[0].closed_at is not None


def test_the_loop_runs_until_told_to_stop_and_gives_its_lease_back(world: World) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=world.loop.run, args=(stop, 0.01))
    thread.start()
    while world.loop.pulse().turns < 3:
        assert thread.is_alive()
        stop.wait(0.005)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert Leadership(metadata=world.metadata, holder="two").hold(world.machine.now()) is not None


def test_a_store_that_fails_does_not_end_the_loop(world: World) -> None:
    world.metadata.close()
    stop = threading.Event()
    thread = threading.Thread(target=world.loop.run, args=(stop, 0.01))
    thread.start()
    stop.wait(0.1)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_the_first_failure_of_a_step_is_logged_with_its_message_and_hint(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.services.failing = {("repair", "a")}
    with caplog.at_level("WARNING", logger="kilter.control"):
        world.turn()
    (line,) = [record for record in caplog.records if record.message == "step.failed"]
    told = vars(line)
    assert (line.levelname, told["step"], told["error"], told["hint"]) == (
        "WARNING",
        "repair",
        "repair cannot",
        "repair it",
    )


def test_an_event_that_fails_is_logged_with_its_message_and_hint(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    event = OutboxEvent(id="event_1", topic="decision.made", subject="a", payload={}, created_at=NOW, available_at=NOW)
    world.metadata.write(lambda tx: tx.add(event))
    world.services.failing = {("respond", "a")}
    with caplog.at_level("WARNING", logger="kilter.control"):
        world.turn()
    (line,) = [record for record in caplog.records if record.message == "event.failed"]
    assert (vars(line)["error"], vars(line)["hint"]) == ("respond cannot", "repair it")
