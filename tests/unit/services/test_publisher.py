from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import RolloutId
from kilter.contracts.rollout import Rollout, RolloutState
from kilter.errors import NotFound
from kilter.policy.rollout import Event, start, step
from kilter.services.publisher import Publisher
from kilter.stores.board import Board
from kilter.stores.memory import MemoryMetadata
from kilter.stores.routes import RouteFiles
from kilter.testing.rollouts import START, Book, deployed, spec, version

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.contracts.model import ModelVersion
    from kilter.contracts.route import RouteTable


class Racing(RouteFiles):
    """Routes that somebody else changes just before every proposal."""

    def propose(self, table: RouteTable) -> None:
        super().propose(replace(table, reason="faster"))
        super().propose(table)


class World:
    """A deployment and its publisher."""

    def __init__(self, folder: Path, routes: type[RouteFiles] = RouteFiles, *, is_supervised: bool = False) -> None:
        self.store = MemoryMetadata()
        self.routes = routes(folder / "route")
        board = Board(folder / "run")
        if is_supervised:
            board.claim()
        book = Book(self.store)
        book.add(version(1), version(2))
        deployed(self.store, spec())
        self.publisher = Publisher(metadata=self.store, routes=self.routes, board=board, versions=book)

    def trial(self) -> Rollout:
        planned = start(RolloutId("ro_1"), deployment="d", champion=1, candidate=2, spec=spec().rollout, now=START)
        return step(planned, Event.START, "", START).rollout


def test_publishing_again_offers_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.publisher.publish("d", None, START).generation == 1
    again = world.publisher.publish("d", None, START)
    assert (again.is_in_force, again.generation) == (True, 0)


def test_a_proposal_left_by_a_killed_process_is_settled(tmp_path: Path) -> None:
    supervised = World(tmp_path / "a", is_supervised=True)
    assert not supervised.publisher.publish("d", None, START).is_in_force
    alone = Publisher(
        metadata=supervised.store,
        routes=supervised.routes,
        board=Board(tmp_path / "b"),
        versions=Book(supervised.store),
    )
    assert alone.publish("d", None, START).is_in_force
    live = supervised.routes.live()
    assert live is not None
    assert live.generation == 1


def test_a_lost_race_waits_for_the_next_tick(tmp_path: Path) -> None:
    world = World(tmp_path, Racing)
    assert not world.publisher.publish("d", None, START).is_in_force


def test_an_open_proposal_is_awaited(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.publisher.publish("d", None, START)
    world.routes.settle(1)
    warming = world.trial()
    assert world.publisher.publish("d", warming, START).generation == 2
    waiting = world.publisher.publish("d", warming, START)
    assert (waiting.is_in_force, waiting.generation, waiting.refusal) == (False, 0, "")


def test_a_refusal_is_reported_once_it_is_ours(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.publisher.publish("d", None, START)
    world.routes.settle(1)
    warming = world.trial()
    world.publisher.publish("d", warming, START)
    world.routes.settle(2, refused="too slow")
    assert world.publisher.publish("d", replace(warming, generation=2), START).refusal == "too slow"
    stranger = replace(warming, id=RolloutId("ro_2"))
    assert world.publisher.publish("d", stranger, START).generation == 2


def test_a_refused_rollback_is_offered_again(tmp_path: Path) -> None:
    world = World(tmp_path, is_supervised=True)
    world.publisher.publish("d", None, START)
    world.routes.settle(1)
    world.publisher.publish("d", world.trial(), START)
    world.routes.settle(2)
    back = replace(world.trial(), state=RolloutState.ROLLING_BACK, next_state="rejected", generation=3)
    assert world.publisher.publish("d", back, START).generation == 3
    world.routes.settle(3, refused="busy")
    assert world.publisher.publish("d", back, START).generation == 3


def test_a_deployment_without_champion_has_nothing_to_publish(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = world.store.read(lambda tx: tx.get(Deployment, "d"))
    assert state is not None
    world.store.write(lambda tx: tx.replace(replace(state, champion=None, version=2)))
    assert world.publisher.publish("d", None, START).is_in_force
    assert world.routes.live() is None


def test_an_unknown_deployment_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        World(tmp_path).publisher.publish("nobody", None, START)


def test_a_table_follows_from_what_is_stored_not_from_what_was_read_before(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.publisher.publish("d", None, START)
    trial = world.trial()
    world.store.write(lambda tx: tx.add(trial))
    canary = replace(step(trial, Event.READY, "", START).rollout, version=2)
    world.store.write(lambda tx: tx.replace(canary))
    world.publisher.publish("d", trial, START)
    assert served(world) == (1, canary.weight)
    world.publisher.publish("d", None, START)
    assert served(world) == (1, canary.weight)


def served(world: World) -> tuple[int, int]:
    live = world.routes.live()
    assert live is not None
    route = live.route("d")
    assert route is not None
    return route.champion.version, route.weight


def test_what_follows_from_an_older_world_is_not_offered(tmp_path: Path) -> None:
    """Metadata moves on and its table is in force between the look at the live table and the offer."""
    world = World(tmp_path)
    world.publisher.publish("d", None, START)

    class Overtaken(Book):
        """Resolves slowly: somebody promotes version 2 meanwhile."""

        def resolve(self, reference: str) -> ModelVersion:
            state = self.metadata.read(lambda tx: tx.get(Deployment, "d"))
            if state is not None and state.champion == 1:
                promoted = replace(state, champion=2, previous=1, version=state.version + 1)
                self.metadata.write(lambda tx: tx.replace(promoted))
                world.publisher.publish("d", None, START)
            return super().resolve(reference)

    trial = world.trial()
    world.store.write(lambda tx: tx.add(replace(trial, finished_at=START)))
    slow = Publisher(
        metadata=world.store, routes=world.routes, board=Board(tmp_path / "run"), versions=Overtaken(world.store)
    )
    assert not slow.publish("d", trial, START).is_in_force
    assert served(world) == (2, 0)
