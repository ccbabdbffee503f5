from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.ids import ModelId
from kilter.contracts.signature import Task
from kilter.errors import Inconclusive, NotFound
from kilter.policy.rollout import start
from kilter.services.recalibrator import Recalibrator
from kilter.stores.memory import MemoryMetadata
from kilter.testing.rollouts import START, Book, LoggedRow, LogTable, deployed, spec, version

if TYPE_CHECKING:
    from kilter.contracts.rollout import Rollout


@dataclass
class Starter:
    """Implements ``RolloutStarter`` by remembering."""

    begun: list[tuple[int, str]] = field(default_factory=list)

    def begin(self, deployment: str, number: int, *, origin: str, by: str, reason: str) -> Rollout:
        self.begun.append((number, origin))
        return start(
            f"ro_{by}",  # type: ignore[arg-type]
            deployment=deployment,
            champion=1,
            candidate=number,
            spec=spec().rollout,
            now=START,
            reason=reason,
        )


class World:
    """A deployment whose probabilities are too high by a known map."""

    def __init__(self, n: int = 600, *, power: float = 3.0) -> None:
        self.store = MemoryMetadata()
        self.book = Book(self.store)
        self.book.add(version(1))
        deployed(self.store, spec())
        self.starter = Starter()
        rng = np.random.default_rng(1)
        raw = rng.uniform(0.05, 0.95, n)
        truth = rng.uniform(size=n) < raw**power
        self.until = START + timedelta(hours=n)
        self.log = LogTable(
            [
                LoggedRow(
                    at=START + timedelta(hours=place),
                    raw=float(raw[place]),
                    label=str(int(truth[place])),
                    label_at=START + timedelta(hours=place),
                )
                for place in range(n)
            ]
        )
        self.service = Recalibrator(metadata=self.store, table=self.log, versions=self.book, rollouts=self.starter)


def test_a_miscalibrated_champion_is_recalibrated_and_put_on_trial() -> None:
    world = World()
    made = world.service.recalibrate("d", since=START, until=world.until, by="me", reason="calibration alert")
    assert (made.number, made.origin, made.parent_number) == (2, "recalibrated", 1)
    assert "Brier score" in made.note
    assert world.starter.begun == [(2, "recalibration")]


def test_the_change_is_said_once() -> None:
    world = World()
    first = world.service.recalibrate("d", since=START, until=world.until, by="me", reason="calibration alert")
    change = first.note.removeprefix("calibration alert; ")
    assert change.startswith("Brier score ")
    known = World()
    again = known.service.recalibrate("d", since=START, until=known.until, by="me", reason=f"it would help: {change}")
    assert again.note == f"it would help: {change}"


def test_doing_it_again_makes_the_same_version() -> None:
    world = World()
    for _ in range(2):
        world.service.recalibrate("d", since=START, until=world.until, by="me", reason="calibration alert")
    assert world.starter.begun == [(2, "recalibration")] * 2


def test_labels_that_came_later_are_not_seen() -> None:
    world = World()
    early = world.service.simulate("d", since=START, until=START + timedelta(hours=300))
    assert early is not None
    assert early.n == 150


def test_a_recalibrated_champion_is_fitted_on_the_answers_of_all_its_maps() -> None:
    world = World()
    world.book.add(version(2, origin="recalibrated", parent=1), version(3))
    state = replace(deployed(world.store, spec(name="e"), champion=2), id="e")
    assert state.champion == 2
    found = [world.service._same_weights("d", world.book.resolve(f"d@{n}")) for n in (1, 2, 3)]  # noqa: SLF001
    assert found == [(1,), (1, 2), (3,)]


def test_a_calibrated_champion_is_left_alone() -> None:
    world = World(power=1.0)
    with pytest.raises(Inconclusive, match="would not have helped"):
        world.service.recalibrate("d", since=START, until=world.until, by="me", reason="")
    assert world.starter.begun == []


@pytest.mark.parametrize("n", [0, 30])
def test_too_few_labels_are_no_answer(n: int) -> None:
    world = World(n)
    with pytest.raises(Inconclusive, match="cannot be recalibrated yet"):
        world.service.recalibrate("d", since=None, until=world.until, by="me", reason="")


def test_only_binary_models_have_a_map() -> None:
    world = World()
    price = version(2)
    signature = replace(price.manifest.signature, task=Task.REGRESSION, classes=(), positive="")
    manifest = replace(price.manifest, signature=signature)
    world.book.add(replace(price, model_id=ModelId("model_2"), model_name="price", number=1, manifest=manifest))
    deployed(world.store, spec(name="price"))
    assert world.service.simulate("price", since=None, until=world.until) is None


def test_an_unknown_deployment_is_not_found() -> None:
    world = World()
    with pytest.raises(NotFound):
        world.service.simulate("nobody", since=None, until=world.until)
