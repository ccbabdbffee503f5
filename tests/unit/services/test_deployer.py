from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.evidence import AuditRow
from kilter.contracts.metadata import MetadataStore
from kilter.contracts.monitor import MonitorTick
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.contracts.spec import LogSpec, ModelSpec
from kilter.contracts.verdict import OnFail, VerdictState
from kilter.control.lease import Fence
from kilter.control.loop import Loop
from kilter.errors import Conflict, GateFailed, Inconclusive, NotFound, OnHold, UnknownName, WorldMoved
from kilter.services.admission import GatedAdmission
from kilter.services.conductor import Conductor
from kilter.services.deployer import Deployer
from kilter.services.publisher import Publisher
from kilter.stores import sqlite
from kilter.stores.board import Board
from kilter.stores.memory import MemoryMetadata
from kilter.stores.routes import RouteFiles
from kilter.testing.rollouts import START, Book, Gates, Ids, LogTable, Notes, Watch, spec, version

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from kilter.contracts.decision import Decision, OutboxEvent
    from kilter.contracts.metadata import ReadTx, WriteTx
    from kilter.contracts.trigger import Trigger

S = RolloutState
T = TypeVar("T")


@dataclass
class Raced:
    """Metadata that somebody else changes just before the nth write."""

    inner: MetadataStore
    meddle: Callable[[], object]
    at: int = -1
    calls: int = 0

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        return self.inner.read(fn)

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        self.calls += 1
        if self.calls == self.at:
            self.meddle()
        return self.inner.write(fn)

    def close(self) -> None:
        self.inner.close()


class World:
    """A project with one registered version and nothing deployed."""

    def __init__(self, folder: Path, store: MetadataStore | None = None, first_id: int = 0) -> None:
        self.folder = folder
        self.store = store or MemoryMetadata()
        self.routes = RouteFiles(folder / "route")
        self.book = Book(self.store)
        self.gates = Gates()
        self.watch = Watch()
        ids, notes = Ids(first_id), Notes()
        publisher = Publisher(metadata=self.store, routes=self.routes, board=Board(folder / "run"), versions=self.book)
        self.conductor = Conductor(
            metadata=self.store,
            routes=self.routes,
            publisher=publisher,
            table=LogTable(),
            versions=self.book,
            auditor=notes,
            ids=ids,
        )
        self.admission = GatedAdmission(
            metadata=self.store,
            routes=self.routes,
            versions=self.book,
            gates=self.gates,
            auditor=notes,
            clock=self.watch,
        )
        self.deployer = Deployer(
            metadata=self.store,
            routes=self.routes,
            versions=self.book,
            admission=self.admission,
            driver=self.conductor,
            auditor=notes,
            clock=self.watch,
            ids=ids,
        )

    def audit(self) -> list[str]:
        return [row.action for row in self.store.read(lambda tx: tx.list(AuditRow))]

    def champion(self) -> int | None:
        live = self.routes.live()
        route = None if live is None else live.route("d")
        return None if route is None else route.champion.version


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.book.add(version(1))
    return made


@pytest.fixture
def served(world: World) -> World:
    world.deployer.apply(spec(), by="me")
    world.book.add(version(2))
    return world


def test_the_first_version_is_served_once_its_gates_pass(world: World) -> None:
    applied = world.deployer.apply(spec(), by="me")
    assert (applied.outcome, applied.number, world.champion()) == ("deployed", 1, 1)
    assert "deployment.deploy" in world.audit()


def test_applying_twice_changes_nothing(served: World) -> None:
    state = spec(rollout=spec().rollout)
    served.deployer.apply(replace(state, model=ModelSpec(name="d", source="model.onnx", version="1")), by="me")
    before = served.audit()
    again = served.deployer.apply(replace(state, model=ModelSpec(name="d", source="model.onnx", version="1")), by="me")
    assert (again.outcome, served.audit()) == ("unchanged", before)


def test_an_unregistered_model_is_registered_on_the_way(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert [action.kind for action in world.deployer.plan(spec()).actions] == ["register", "deploy"]
    assert world.deployer.apply(spec(), by="me").number == 1


@pytest.mark.parametrize(("state", "error"), [(VerdictState.FAIL, GateFailed), (VerdictState.ERROR, Inconclusive)])
def test_a_version_without_passed_gates_is_not_served(
    world: World, state: VerdictState, error: type[Exception]
) -> None:
    world.gates.state = state
    with pytest.raises(error, match="did not pass") as caught:
        world.deployer.apply(spec(), by="me")
    assert "as the test says" in str(getattr(caught.value, "why", ""))
    assert world.champion() is None
    assert "apply.refused" in world.audit()


def test_gates_that_only_ask_for_a_person_say_so(world: World) -> None:
    world.gates.state, world.gates.on_fail = VerdictState.INCONCLUSIVE, OnFail.REVIEW
    with pytest.raises(Inconclusive) as caught:
        world.deployer.apply(spec(), by="me")
    assert caught.value.details["awaits_review"] is True


def test_without_held_out_data_nothing_is_served(world: World) -> None:
    with pytest.raises(Inconclusive, match="did not pass") as caught:
        world.deployer.apply(spec(holdout=""), by="me")
    assert caught.value.hint == "set `holdout` under `[data]`"


def test_failed_gates_are_overridden_only_with_a_reason_and_a_trace(world: World) -> None:
    world.gates.state = VerdictState.FAIL
    with pytest.raises(GateFailed):
        world.deployer.apply(spec(), by="me", override="gates")
    assert world.deployer.apply(spec(), by="me", override="gates", reason="a drill").outcome == "deployed"
    assert "gates.overridden" in world.audit()


def test_a_second_version_starts_a_rollout(served: World) -> None:
    applied = served.deployer.apply(spec(), by="me")
    assert applied.outcome == "rollout_started"
    status = served.deployer.status("d")
    assert status.rollout is not None
    assert (status.rollout.id, status.rollout.state, status.is_settled) == (applied.rollout_id, S.CANARY, True)
    assert status.route is not None
    assert status.route.weight == 500
    assert served.gates.runs == [1, 2]


def test_a_third_version_waits_for_the_second(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    assert served.deployer.apply(spec(), by="me").outcome == "unchanged"
    served.book.add(version(3))
    assert served.deployer.plan(spec()).is_blocked
    with pytest.raises(Conflict, match="is open"):
        served.deployer.apply(spec(), by="me")
    with pytest.raises(Conflict, match="is open"):
        served.deployer.begin("d", 3, origin="retraining", by="me", reason="")


def test_beginning_the_same_candidate_again_is_the_same_rollout(served: World) -> None:
    first = served.deployer.begin("d", 2, origin="retraining", by="me", reason="better")
    assert served.deployer.begin("d", 2, origin="retraining", by="me", reason="better").id == first.id


def test_the_champion_cannot_be_rolled_out_again(served: World) -> None:
    with pytest.raises(Conflict, match="champion already"):
        served.deployer.begin("d", 1, origin="retraining", by="me", reason="")


def test_a_rejected_version_is_held_until_overridden(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    served.deployer.abort("d", by="me", reason="wrong answers", hold=True)
    assert served.champion() == 1
    plan = served.deployer.plan(spec())
    assert (plan.is_blocked, plan.actions[0].kind) == (True, "blocked")
    with pytest.raises(OnHold, match="on hold") as caught:
        served.deployer.apply(spec(), by="me")
    with pytest.raises(OnHold):
        served.deployer.begin("d", 2, origin="retraining", by="me", reason="")
    hold = str(caught.value.details["hold"])
    assert served.deployer.apply(spec(), by="me", override=hold, reason="it was the feed").outcome == "rollout_started"
    assert "hold.released" in served.audit()


def test_a_plan_for_another_world_is_refused(served: World) -> None:
    plan = served.deployer.plan(spec())
    served.book.add(version(3))
    with pytest.raises(WorldMoved):
        served.deployer.apply(spec(), by="me", plan_hash=plan.hash)
    agreed = served.deployer.plan(spec())
    assert served.deployer.apply(spec(), by="me", plan_hash=agreed.hash).number == 3


def test_other_settings_are_put_in_force_without_a_rollout(world: World) -> None:
    world.deployer.apply(spec(), by="me")
    changed = replace(spec(), log=LogSpec(durable="disk"))
    assert world.deployer.apply(changed, by="me").outcome == "configured"
    status = world.deployer.status("d")
    assert status.route is not None
    assert status.route.durable == "disk"


def test_other_settings_and_another_version_go_together(served: World) -> None:
    changed = replace(spec(), log=LogSpec(durable="disk"))
    assert served.deployer.apply(changed, by="me").outcome == "rollout_started"
    assert served.deployer.status("d").deployment.spec == changed


def test_a_champion_made_from_the_wanted_version_counts_as_it(served: World) -> None:
    served.book.add(version(3, origin="recalibrated", parent=2))
    state = served.deployer.status("d").deployment
    served.store.write(lambda tx: tx.replace(replace(state, champion=3, version=state.version + 1)))
    assert served.deployer.plan(spec()).is_empty


def test_a_version_can_be_asked_for_by_number(served: World) -> None:
    asked = replace(spec(), model=ModelSpec(name="d", source="model.onnx", version="9"))
    with pytest.raises(UnknownName):
        served.deployer.plan(asked)


def test_rollback_drops_the_candidate_first(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    served.deployer.rollback("d", by="me", reason="wrong answers")
    status = served.deployer.status("d")
    assert status.rollout is not None
    assert (status.rollout.state, [hold.number for hold in status.holds]) == (S.REJECTED, [2])


def test_rollback_returns_to_the_previous_champion_and_holds_the_present_one(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    served.deployer.promote("d", by="me", reason="urgent")
    assert served.champion() == 2
    after = served.deployer.rollback("d", by="me", reason="wrong answers")
    assert (after.champion, after.previous, served.champion()) == (1, None, 1)
    assert [hold.number for hold in served.store.read(lambda tx: tx.list(Hold))] == [2]
    with pytest.raises(Conflict, match="nothing to roll back to"):
        served.deployer.rollback("d", by="me", reason="again")


def test_rollback_to_a_named_version(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    after = served.deployer.rollback("d", to=2, by="me", reason="forward after all")
    assert after.champion == 2
    with pytest.raises(UnknownName):
        served.deployer.rollback("d", to=9, by="me", reason="")


def test_abort_without_blame_holds_nothing(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    assert served.deployer.abort("d", by="me", reason="later").state is S.ROLLED_BACK
    assert served.deployer.status("d").holds == ()
    with pytest.raises(NotFound):
        served.deployer.resume("d", by="me")


def test_a_held_rollout_is_resumed_by_a_person(served: World) -> None:
    served.deployer.apply(spec(), by="me")
    rollout = served.store.read(lambda tx: tx.list(Rollout))[0]
    served.conductor.move("d", "unjudged", by="policy", reason="nobody", now=served.watch.now())
    resumed = served.deployer.resume("d", by="me")
    assert (resumed.id, resumed.state) == (rollout.id, S.CANARY)
    assert served.deployer.tick("d", served.watch.on(0.1)) is not None
    assert served.deployer.adopt(served.watch.now()) == ()


def test_an_unknown_deployment_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.deployer.status("d")


# -- beside a control loop ------------------------------------------------------------------------


class Idle:
    """Collector, monitor and retrainer of a loop in which only rollouts move."""

    until_ns = 0

    def collect(self, now: datetime) -> Idle:
        self.until_ns = int(now.timestamp()) * 10**9
        return self

    def tick(self, deployment: str, now: datetime) -> MonitorTick:  # noqa: ARG002 - as its port says
        return MonitorTick(deployment=deployment)


class NoRepairs:
    """A retrainer without work."""

    def respond(self, event: OutboxEvent, now: datetime) -> Decision | None:  # noqa: ARG002 - as its port says
        return None

    def tick(self, deployment: str, now: datetime) -> Trigger | None:  # noqa: ARG002 - as its port says
        return None


def looping(world: World, fence: Fence) -> Loop:
    idle = Idle()
    return Loop(
        metadata=fence,
        collector=idle,
        monitor=idle,
        deployer=world.deployer,
        retrainer=NoRepairs(),
        auditor=Notes(),
        clock=world.watch,
        machine=world.watch,
        ids=Ids(10**5),
        holder="loop",
    )


def touch(store: MetadataStore) -> None:
    """Write the loop's progress, as it does at the end of every turn."""

    def write(tx: WriteTx) -> None:
        state = tx.get(Deployment, "d")
        if state is not None:
            tx.replace(replace(state, monitored_until=START, version=state.version + 1))

    store.write(write)


def meddled(folder: Path, act: str, at: int, *, is_loop: bool) -> tuple[int, tuple[object, ...]]:
    """Do one thing while somebody else gets in before its nth write; return writes and outcome."""
    plain = World(folder)
    plain.book.add(version(1))
    plain.deployer.apply(spec(), by="me")
    plain.book.add(version(2))
    if act != "apply":
        plain.deployer.apply(spec(), by="me")
    if act == "back":
        plain.deployer.promote("d", by="me", reason="urgent")
    meddle = (lambda: plain.deployer.tick("d", plain.watch.now())) if is_loop else (lambda: touch(plain.store))
    raced = Raced(plain.store, meddle, at)
    mine = World(folder, raced, 10**4).deployer
    if act == "apply":
        mine.apply(spec(), by="me")
    elif act == "promote":
        mine.promote("d", by="me", reason="urgent")
    elif act == "configure":
        mine.apply(replace(spec(), log=LogSpec(durable="disk")), by="me")
    else:
        mine.rollback("d", by="me", reason="wrong answers")
    for _ in range(2):
        plain.deployer.tick("d", plain.watch.now())
    status = plain.deployer.status("d")
    rollout, route = status.rollout, status.route
    assert rollout is not None
    assert route is not None
    state = status.deployment
    return raced.calls, (
        rollout.state,
        state.champion,
        state.previous,
        replace(route, rollout_id="", salt=""),
        [hold.number for hold in status.holds],
        sorted(plain.audit()),
    )


@pytest.mark.parametrize("is_loop", [False, True], ids=["progress", "tick"])
@pytest.mark.parametrize("act", ["apply", "promote", "configure", "drop", "back"])
def test_whatever_the_loop_writes_between_two_writes_the_outcome_is_the_same(
    tmp_path: Path, act: str, *, is_loop: bool
) -> None:
    calls, expected = meddled(tmp_path / "whole", act, -1, is_loop=is_loop)
    for at in range(1, calls + 1):
        assert meddled(tmp_path / str(at), act, at, is_loop=is_loop)[1] == expected, at


def settled(world: World) -> None:
    """Wait until the first version answers alone."""
    deadline = time.monotonic() + 30.0
    while (status := world.deployer.status("d")).rollout is None or not status.rollout.state.is_final:
        assert time.monotonic() < deadline, status
        time.sleep(0.005)
    assert status.deployment.champion == 1


def on_trial(world: World) -> None:
    """Wait until the rollout has traffic: whoever lost the race for a table leaves that to the next tick."""
    deadline = time.monotonic() + 30.0
    while (rollout := world.deployer.status("d").rollout) is None or rollout.state is not S.CANARY:
        assert time.monotonic() < deadline, rollout
        time.sleep(0.005)


def test_a_command_beside_a_turning_loop_on_one_store_never_conflicts(tmp_path: Path) -> None:
    path = str(tmp_path / "meta.db")
    stop = threading.Event()
    fence = Fence(sqlite.open(path))
    looped = World(tmp_path, fence, 10**4)
    loop = looping(looped, fence)
    mine = World(tmp_path, sqlite.open(path))
    mine.book.add(version(1))
    mine.deployer.apply(spec(), by="me")
    thread = threading.Thread(target=loop.run, args=(stop, 0.0))
    thread.start()
    try:
        for number in range(2, 6):
            mine.book.add(version(number))
            assert mine.deployer.apply(spec(), by="me").outcome == "rollout_started"
            on_trial(mine)
            mine.deployer.promote("d", by="me", reason="urgent")
            mine.deployer.rollback("d", by="me", reason="wrong answers")
            settled(mine)
    finally:
        stop.set()
        thread.join(30.0)
    assert loop.pulse().faults == ()
    held = mine.deployer.status("d").holds
    assert sorted(hold.number for hold in held) == [2, 3, 4, 5]
    fence.close()
    mine.store.close()


class Ending:
    """A driver in whose hands the rollout ends, by somebody else, just before it is moved."""

    def __init__(self, inner: Conductor, event: str) -> None:
        self.inner = inner
        self.event = event

    def tick(self, deployment: str, now: datetime) -> Rollout | None:
        return self.inner.tick(deployment, now)

    def settle(self, deployment: str, now: datetime) -> Rollout | None:
        return self.inner.settle(deployment, now)

    def adopt(self, now: datetime) -> tuple[str, ...]:
        return self.inner.adopt(now)

    def move(self, deployment: str, event: str, *, by: str, reason: str, now: datetime) -> Rollout:
        if self.event:
            self.inner.move(deployment, self.event, by="another", reason="first", now=now)
            self.inner.settle(deployment, now)
        else:
            message = "it does not apply"
            raise Conflict(message)
        return self.inner.move(deployment, event, by=by, reason=reason, now=now)


def rolled_back_while(served: World, event: str) -> Deployment:
    served.deployer.apply(spec(), by="me")
    deployer = Deployer(
        metadata=served.store,
        routes=served.routes,
        versions=served.book,
        admission=served.admission,
        driver=Ending(served.conductor, event),
        auditor=Notes(),
        clock=served.watch,
        ids=Ids(10**4),
    )
    return deployer.rollback("d", by="me", reason="wrong answers")


def test_a_candidate_promoted_just_before_a_rollback_is_taken_back_as_champion(served: World) -> None:
    after = rolled_back_while(served, "promote")
    assert (after.champion, served.champion()) == (1, 1)
    assert [hold.number for hold in served.deployer.status("d").holds] == [2]


def test_a_refusal_that_is_not_a_race_is_passed_on(served: World) -> None:
    with pytest.raises(Conflict, match="does not apply"):
        rolled_back_while(served, "")
