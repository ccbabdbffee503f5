from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.deployment import Hold
from kilter.contracts.evidence import AuditRow
from kilter.contracts.verdict import OnFail, Verdict, VerdictState
from kilter.errors import Conflict, GateFailed, Inconclusive, WorldMoved
from kilter.policy.hold import new_hold, released
from kilter.services.admission import GatedAdmission
from kilter.stores.memory import MemoryMetadata
from kilter.stores.routes import RouteFiles
from kilter.testing.rollouts import START, Book, Gates, Notes, Watch, deployed, spec, version

if TYPE_CHECKING:
    from pathlib import Path


class World:
    """Two registered versions, none deployed."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryMetadata()
        self.gates = Gates()
        book = Book(self.store)
        book.add(version(1), version(2))
        self.admission = GatedAdmission(
            metadata=self.store,
            routes=RouteFiles(folder / "route"),
            versions=book,
            gates=self.gates,
            auditor=Notes(),
            clock=Watch(),
        )

    def admit(self, *, holdout: str = "holdout.csv", reference: str = "", override: str = "") -> str:
        wanted = spec(holdout=holdout)
        wanted = replace(wanted, data=replace(wanted.data, reference=reference))
        return self.admission.admit(version(2), wanted, self.admission.plan(wanted), by="me", override=override)

    def audit(self) -> list[str]:
        return [row.action for row in self.store.read(lambda tx: tx.list(AuditRow))]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_passed_gates_admit(world: World) -> None:
    assert world.admit() == "passed its gates"
    assert world.gates.data == ["holdout.csv"]


def test_a_warning_is_counted_and_named_in_brief(world: World) -> None:
    world.gates.more = (
        Verdict(gate="log_loss.slices", state=VerdictState.INCONCLUSIVE, reason="small", on_fail=OnFail.WARN),
    )
    assert world.admit() == "passed its gates (1 warning: log_loss.slices inconclusive)"


def test_without_held_out_rows_the_reference_is_judged_and_the_sentence_says_so(world: World) -> None:
    told = "on its reference rows, as no `holdout` is set under `[data]`"
    assert world.admit(holdout="", reference="ref.csv") == f"passed its gates {told}"
    assert world.gates.data == ["ref.csv"]
    world.gates.state = VerdictState.FAIL
    with pytest.raises(GateFailed, match="did not pass its gates on its reference rows"):
        world.admit(holdout="", reference="ref.csv")


def test_a_hold_that_somebody_else_released_is_released_once(world: World) -> None:
    hold = new_hold("hold_1", version(2), deployment="d", reason="loss: worse", by="policy", now=START)
    world.store.write(lambda tx: tx.add(hold))
    plan = world.admission.plan(spec())
    world.store.write(lambda tx: tx.replace(released(hold, by="another", now=START)))
    world.admission.admit(version(2), spec(), plan, by="me", override="hold_1")
    stored = world.store.read(lambda tx: tx.get(Hold, "hold_1"))
    assert stored is not None
    assert (stored.released_by, world.audit()) == ("another", [])


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (VerdictState.FAIL, GateFailed),
        (VerdictState.ERROR, Inconclusive),
        (VerdictState.INCONCLUSIVE, Inconclusive),
    ],
)
def test_all_other_answers_refuse_with_a_trace(world: World, state: VerdictState, error: type[Exception]) -> None:
    world.gates.state = state
    with pytest.raises(error):
        world.admit()
    assert world.audit() == ["apply.refused"]


def test_missing_evidence_never_admits(world: World) -> None:
    with pytest.raises(Inconclusive):
        world.admit(holdout="")


def test_gates_that_wait_for_a_person_say_so(world: World) -> None:
    world.gates.state, world.gates.on_fail = VerdictState.INCONCLUSIVE, OnFail.REVIEW
    with pytest.raises(Inconclusive) as caught:
        world.admit()
    assert caught.value.details["awaits_review"] is True


def test_an_override_leaves_a_trace(world: World) -> None:
    world.gates.state = VerdictState.FAIL
    assert world.admit(override="gates").startswith("overridden by me")
    assert world.audit() == ["gates.overridden"]


def test_the_champion_is_not_admitted_again(world: World) -> None:
    deployed(world.store, spec(), champion=2)
    with pytest.raises(Conflict):
        world.admit()


def test_only_the_plan_that_was_agreed_is_carried_out(world: World) -> None:
    plan = world.admission.plan(spec())
    world.admission.agree(plan, "", by="me")
    world.admission.agree(plan, plan.hash, by="me")
    with pytest.raises(WorldMoved):
        world.admission.agree(plan, "0" * 64, by="me")
    assert world.audit() == ["apply.refused"]


def test_what_is_wanted_is_the_version_added_last(world: World) -> None:
    found = world.admission.wanted(spec())
    assert found is not None
    assert found.number == 2
    assert world.admission.wanted(spec(name="other")) is None
