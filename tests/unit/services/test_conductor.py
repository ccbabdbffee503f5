from __future__ import annotations

from collections.abc import Callable  # noqa: TC003
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment, Hold
from kilter.contracts.evidence import AuditRow
from kilter.contracts.rollout import Rollout, RolloutState, RolloutStep
from kilter.contracts.spec import RolloutSpec
from kilter.errors import NotFound, StoreError
from kilter.policy.rollout import start
from kilter.policy.routing import rolled_back
from kilter.services.conductor import Conductor
from kilter.services.publisher import Publisher
from kilter.stores.board import Board
from kilter.stores.memory import MemoryMetadata
from kilter.stores.routes import RouteFiles
from kilter.testing.rollouts import Book, Ids, LoggedRow, LogTable, Notes, Watch, deployed, spec, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.ids import RolloutId
    from kilter.contracts.log import JoinedRows, LogPart, RowQuery
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.route import Route, RouteStore, RouteTable

S = RolloutState
T = TypeVar("T")


class Crash(Exception):
    """The process was killed here."""


@dataclass
class Fuse:
    """Kills the process before or after the nth call."""

    at: int = -1
    calls: int = 0

    def burn(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Crash


@dataclass
class FusedMetadata:
    """Metadata behind a fuse: killed before the transaction, or after its commit."""

    inner: MemoryMetadata
    fuse: Fuse

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        return self.inner.read(fn)

    def write(self, fn: Callable[[WriteTx], T]) -> T:
        self.fuse.burn()
        result = self.inner.write(fn)
        self.fuse.burn()
        return result

    def close(self) -> None:
        self.inner.close()


@dataclass
class FusedRoutes:
    """Routes behind the same fuse."""

    inner: RouteFiles
    fuse: Fuse

    def live(self) -> RouteTable | None:
        return self.inner.live()

    def previous(self) -> RouteTable | None:
        return self.inner.previous()

    def proposed(self) -> RouteTable | None:
        return self.inner.proposed()

    def propose(self, table: RouteTable) -> None:
        self.fuse.burn()
        self.inner.propose(table)
        self.fuse.burn()

    def settle(self, generation: int, *, refused: str | None = None) -> None:
        self.fuse.burn()
        self.inner.settle(generation, refused=refused)
        self.fuse.burn()

    def refusal(self) -> tuple[int, str] | None:
        return self.inner.refusal()


@dataclass
class World:
    """One deployment `d` with versions 1 and 2 on real route files."""

    folder: Path
    is_supervised: bool = False
    fuse: Fuse = field(default_factory=Fuse)
    watch: Watch = field(default_factory=Watch)
    log: LogTable = field(default_factory=LogTable)
    ids: Ids = field(default_factory=Ids)

    def __post_init__(self) -> None:
        self.store = MemoryMetadata()
        self.routes = RouteFiles(self.folder / "route")
        self.board = Board(self.folder / "run")
        self.book = Book(self.store)
        self.book.add(version(1), version(2), version(3))
        if self.is_supervised:
            self.board.claim()
        deployed(self.store, spec())
        self.conductor = self.conduct(self.store, self.routes)
        self.conductor.tick("d", self.watch.now())

    def conduct(self, metadata: MetadataStore, routes: RouteStore, log: LogTable | None = None) -> Conductor:
        book = Book(metadata)
        publisher = Publisher(metadata=metadata, routes=routes, board=self.board, versions=book)
        return Conductor(
            metadata=metadata,
            routes=routes,
            publisher=publisher,
            table=log or self.log,
            versions=book,
            auditor=Notes(),
            ids=self.ids,
        )

    def begin(self, candidate: int = 2, **changes: object) -> None:
        plan = replace(spec().rollout, **changes)  # type: ignore[arg-type]
        planned = start(
            RolloutId_(self.ids.new("ro")),
            deployment="d",
            champion=1,
            candidate=candidate,
            spec=plan,
            now=self.watch.now(),
        )
        self.store.write(lambda tx: tx.add(planned))

    def traffic(self, n: int = 200, *, loss: tuple[float, float] | None = None, failures: int = 0) -> None:
        """Log n requests per arm in the last minutes."""
        rollout = self.rollout
        for place in range(n):
            at = self.watch.now() - timedelta(seconds=n - place)
            for arm, number in (("challenger", 2), ("control", 1)):
                score = 0.5 if loss is None else 1.0 - loss[number == 1]
                row = LoggedRow(at=at, version=number, arm=arm, rollout_id=rollout.id, raw=score)
                if loss is not None:
                    row = replace(row, label="1", label_at=at)
                self.log.logged.append(replace(row, is_failure=arm == "challenger" and place < failures))

    def tick(self, hours: float = 1.0) -> Rollout | None:
        return self.conductor.tick("d", self.watch.on(hours))

    @property
    def rollout(self) -> Rollout:
        return self.store.read(lambda tx: tx.list(Rollout, newest_first=True, limit=1))[0]

    @property
    def deployment(self) -> Deployment:
        found = self.store.read(lambda tx: tx.get(Deployment, "d"))
        assert found is not None
        return found

    @property
    def route(self) -> Route:
        live = self.routes.live()
        assert live is not None
        route = live.route("d")
        assert route is not None
        return route

    def holds(self) -> tuple[Hold, ...]:
        return self.store.read(lambda tx: tx.list(Hold))

    def audit(self) -> list[str]:
        return [row.action for row in self.store.read(lambda tx: tx.list(AuditRow, limit=5_000))]


def RolloutId_(text: str) -> RolloutId:  # noqa: N802 - a type's name
    return text  # type: ignore[return-value]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_deployment_is_served_after_its_first_tick(world: World) -> None:
    assert (world.route.champion.version, world.deployment.generation) == (1, 1)


def test_an_idle_tick_writes_nothing(world: World) -> None:
    before = world.routes.live()
    world.tick()
    assert world.routes.live() == before


def test_a_rollout_warms_up_and_serves_its_first_step_in_one_tick_without_supervisor(world: World) -> None:
    world.begin()
    world.tick()
    assert (world.rollout.state, world.route.challenger is not None, world.route.weight) == (S.CANARY, True, 500)
    assert world.route.judged_until == world.watch.now() + timedelta(minutes=30)


def test_a_good_candidate_becomes_champion(world: World) -> None:
    world.begin()
    world.tick()
    for _ in range(4):
        world.watch.on(0.25)
        world.traffic(loss=(0.3, 0.35))
        world.tick(0.0)
        if world.rollout.state is S.DONE:
            break
    assert world.rollout.state is S.DONE
    assert (world.deployment.champion, world.deployment.previous) == (2, 1)
    assert (world.route.champion.version, world.route.challenger) == (2, None)
    assert world.route.previous is not None
    assert [step.to_state for step in world.store.read(lambda tx: tx.list(RolloutStep))] == [
        "warming",
        "canary",
        "canary",
        "promoting",
        "done",
    ]
    assert "rollout.published" in world.audit()


def test_harm_takes_all_traffic_back_and_holds_the_version(world: World) -> None:
    world.begin()
    world.tick()
    world.watch.on(0.25)
    world.traffic(failures=60)
    world.tick(0.0)
    assert (world.rollout.state, world.route.challenger, world.deployment.champion) == (S.REJECTED, None, 1)
    (hold,) = world.holds()
    assert (hold.number, hold.metric, hold.evidence) == (2, "error", (world.rollout.id,))
    (decision,) = world.store.read(lambda tx: tx.list(Decision))
    assert (decision.kind, decision.arguments["hold"]) == ("rollback", True)


def test_the_decision_stands_before_the_table_changes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin()
    world.tick()
    world.watch.on(0.25)
    world.traffic(failures=60)
    routes = FusedRoutes(world.routes, Fuse(at=1))
    with pytest.raises(Crash):
        world.conduct(world.store, routes).tick("d", world.watch.now())
    assert world.rollout.state is S.ROLLING_BACK
    assert len(world.holds()) == 1
    assert world.route.weight == 500
    world.tick(0.0)
    assert (world.rollout.state, world.route.challenger) == (S.REJECTED, None)


@pytest.mark.parametrize("is_bad", [False, True])
def test_being_killed_at_any_call_ends_in_the_same_state(tmp_path: Path, is_bad: bool) -> None:  # noqa: FBT001 - a case
    def run(name: str, at: int) -> tuple[int, tuple[object, ...]]:
        world = World(tmp_path / name)
        world.begin()
        fuse = Fuse(at=at)
        conductor = world.conduct(FusedMetadata(world.store, fuse), FusedRoutes(world.routes, fuse))
        for hour in range(6):
            world.watch.on(0.25)
            if hour:
                world.traffic(loss=(0.9, 0.2) if is_bad else (0.3, 0.35))
            for _ in range(2):
                try:
                    conductor.tick("d", world.watch.now())
                except Crash:
                    conductor = world.conduct(world.store, world.routes)
        rollout = world.rollout
        steps = world.store.read(lambda tx: tx.list(RolloutStep))
        return fuse.calls, (
            rollout.state,
            rollout.processes,
            rollout.requests_candidate,
            world.deployment.champion,
            world.route.champion,
            world.route.challenger,
            [(step.from_state, step.to_state, step.event) for step in steps],
            len(world.holds()),
            sorted(world.audit()),
        )

    calls, expected = run("whole", -1)
    assert expected[0] is (S.REJECTED if is_bad else S.DONE)
    assert calls > 20
    for at in range(1, calls + 1):
        assert run(str(at), at)[1] == expected, at


def test_with_a_supervisor_nothing_moves_before_the_acceptors_have_it(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    offered = world.routes.proposed()
    assert offered is not None
    assert world.routes.live() is None
    world.routes.settle(offered.generation)
    world.begin()
    world.tick()
    assert (world.rollout.state, world.rollout.generation) == (S.WARMING, 2)
    world.tick()
    assert world.rollout.state is S.WARMING
    world.routes.settle(2)
    world.tick()
    assert (world.rollout.state, world.route.weight) == (S.CANARY, 0)
    world.routes.settle(3)
    world.tick(0.25)
    assert world.route.weight == 500


def test_a_version_that_an_acceptor_refuses_is_rejected_and_the_next_is_not_blamed(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.routes.settle(1)
    world.begin()
    world.tick()
    world.routes.settle(2, refused="golden rows differ")
    world.tick()
    assert world.rollout.state is S.REJECTED
    assert "golden rows differ" in world.holds()[0].reason
    world.begin(candidate=3)
    world.tick()
    world.routes.settle(2)
    world.tick()
    assert (world.rollout.candidate, world.rollout.state) == (3, S.CANARY)


def test_a_rollback_pushes_a_waiting_proposal_aside(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.routes.settle(1)
    world.begin()
    world.tick()
    world.conductor.move("d", "abort", by="me", reason="changed my mind", now=world.watch.now())
    world.tick()
    assert (world.rollout.state, world.routes.proposed()) == (S.ROLLED_BACK, None)
    assert world.holds() == ()


def test_a_canary_that_nobody_judged_is_held_without_traffic(world: World) -> None:
    world.begin()
    world.tick()
    world.tick(2.0)
    assert (world.rollout.state, world.rollout.next_state, world.route.weight) == (S.HELD, S.CANARY, 0)
    assert world.rollout.reason.startswith("unjudged")
    world.conductor.move("d", "resume", by="me", reason="back again", now=world.watch.now())
    world.tick(0.1)
    assert world.route.weight == 500


def test_judging_is_prolonged_by_every_tick(world: World) -> None:
    world.begin()
    world.tick()
    before = world.route.judged_until
    world.tick(0.2)
    assert before is not None
    assert world.route.judged_until == before + timedelta(hours=0.2)


def test_unreadable_evidence_holds_the_rollout(world: World) -> None:
    world.begin()
    world.tick()
    world.log.fault = StoreError("part 3 is damaged")
    world.tick(0.2)
    assert (world.rollout.state, world.route.weight) == (S.HELD, 500)
    with pytest.raises(StoreError):
        world.tick(0.2)


def test_a_table_that_a_person_wrote_alone_is_adopted_as_a_hold(world: World) -> None:
    world.begin()
    world.tick()
    live = world.routes.live()
    assert live is not None
    world.routes.propose(rolled_back(live, "d", world.watch.now(), "it looked wrong"))
    world.routes.settle(live.generation + 1)
    assert world.conductor.adopt(world.watch.now()) == ("d",)
    assert world.conductor.adopt(world.watch.now()) == ()
    world.tick(0.1)
    assert world.rollout.state is S.REJECTED
    assert [hold.number for hold in world.holds()] == [2]


def test_a_champion_that_a_person_took_back_alone_is_adopted(world: World) -> None:
    state = world.deployment
    world.store.write(lambda tx: tx.replace(replace(state, champion=2, previous=1, version=state.version + 1)))
    world.tick()
    live = world.routes.live()
    assert live is not None
    world.routes.propose(rolled_back(live, "d", world.watch.now(), "wrong answers"))
    world.routes.settle(live.generation + 1)
    world.tick()
    assert (world.deployment.champion, world.deployment.previous, world.route.champion.version) == (1, None, 1)
    assert [hold.number for hold in world.holds()] == [2]
    assert "rollback.adopted" in world.audit()


def test_warming_ends_at_the_rollouts_deadline_without_blame(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.routes.settle(1)
    world.begin(deadline_s=3_600.0)
    world.tick()
    world.tick(2.0)
    assert (world.rollout.state, world.holds()) == (S.ROLLED_BACK, ())


def test_a_shadow_is_judged_on_the_same_requests(world: World) -> None:
    world.begin(strategy="shadow")
    world.tick()
    assert (world.route.shadow_rate, world.rollout.state) == (1_000, S.SHADOW)
    world.watch.on(0.2)
    rollout = world.rollout
    for place in range(300):
        at = world.watch.now() - timedelta(seconds=300 - place)
        row = LoggedRow(at=at, raw=0.7, rollout_id=rollout.id, label="1", label_at=at)
        parent = f"{len(world.log.logged):08d}:0"
        world.log.logged += [row, replace(row, version=2, arm="shadow", kind="shadow", raw=0.8, parent=parent)]
    world.tick(0.0)
    assert (world.rollout.state, world.rollout.processes[1].n) == (S.CANARY, 300)


def test_the_champions_recent_loss_is_frozen_as_the_reference(world: World) -> None:
    for place in range(60):
        at = world.watch.now() - timedelta(minutes=place + 1)
        world.log.logged.append(LoggedRow(at=at, raw=0.5, label="1", label_at=at))
    world.begin()
    world.tick()
    assert world.rollout.reference_loss == pytest.approx(0.25)


def test_unknown_names_are_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.conductor.tick("nobody", world.watch.now())
    with pytest.raises(NotFound, match="no rollout"):
        world.conductor.move("d", "abort", by="me", reason="", now=world.watch.now())


def test_default_margins_are_those_of_the_rollouts_start(world: World) -> None:
    world.begin(margins=RolloutSpec().margins)
    world.tick()
    assert world.rollout.spec.margins == ()


def test_a_rollouts_times_never_run_backwards(world: World) -> None:
    """The loop ticks with the time up to which the log is complete, which may lie before a person's command."""
    now = world.watch.on(1.0)
    world.begin()
    world.conductor.settle("d", now)
    world.conductor.move("d", "abort", by="me", reason="later", now=now)
    world.conductor.tick("d", now - timedelta(minutes=4))
    rollout = world.rollout
    assert (rollout.step_started_at, rollout.finished_at) == (now, now)
    assert {step.at for step in world.store.read(lambda tx: tx.list(RolloutStep))} == {now}


def test_settling_between_two_ticks_counts_no_evidence_and_gives_no_verdict(world: World) -> None:
    world.begin()
    world.conductor.settle("d", world.watch.now())
    before = world.rollout
    assert before.state is S.CANARY
    world.watch.on(0.25)
    world.traffic(failures=60)
    world.conductor.settle("d", world.watch.now())
    assert (world.rollout.state, world.rollout.evidence_until) == (S.CANARY, before.evidence_until)
    world.tick(0.0)
    assert world.rollout.state is S.REJECTED


def test_a_rollout_that_somebody_else_moved_meanwhile_is_left_as_it_is(world: World) -> None:
    world.begin()
    world.tick()
    world.watch.on(0.25)
    world.traffic(failures=60)

    class Overtaken(LogTable):
        """A log that takes so long to read that a person acts meanwhile."""

        def rows(self, parts: Sequence[LogPart], query: RowQuery) -> JoinedRows:
            if world.rollout.state is S.CANARY:
                world.conductor.move("d", "abort", by="me", reason="later", now=world.watch.now())
            return world.log.rows(parts, query)

    slow = world.conduct(world.store, world.routes, Overtaken(world.log.logged))
    found = slow.tick("d", world.watch.now())
    assert found is not None
    assert (found.state, world.rollout.state, world.holds()) == (S.ROLLED_BACK, S.ROLLED_BACK, ())


def test_a_table_that_another_process_adopts_first_is_adopted_once(world: World) -> None:
    world.begin()
    world.tick()
    live = world.routes.live()
    assert live is not None
    world.routes.propose(rolled_back(live, "d", world.watch.now(), "it looked wrong"))
    world.routes.settle(live.generation + 1)

    class Slower(MemoryMetadata):
        """Somebody else adopts between the look and the write."""

        def read(self, fn: Callable[[ReadTx], T]) -> T:
            return world.store.read(fn)

        def write(self, fn: Callable[[WriteTx], T]) -> T:
            world.conductor.adopt(world.watch.now())
            return world.store.write(fn)

    assert world.conduct(Slower(), world.routes).adopt(world.watch.now()) == ()
    assert world.audit().count("rollout.reject") == 1
