"""Claims about when a proposal comes into force, and why it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.route import AcceptorStatus, Route, RouteTable, RouteVariant
from kilter.errors import StoreError
from kilter.faces.serving.processes.mark import fingerprint, mark_of
from kilter.faces.serving.processes.settlement import Settlement
from kilter.testing.plane import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.plane import PlaneParts

_ROUTE = Route(deployment="churn", champion=RouteVariant(version=1, digest=Digest("sha256:1")))
_BOTH = {0: 100, 1: 101}


class _Routes:
    """Route tables in memory."""

    def __init__(self) -> None:
        self.open: RouteTable | None = None
        self.in_force: RouteTable | None = None
        self.settled: list[tuple[int, str | None]] = []
        self.changes = 0
        self.is_damaged = False

    def token(self) -> tuple[int, ...]:
        return (self.changes,)

    def live(self) -> RouteTable | None:
        if self.is_damaged:
            message = "no table can be read"
            raise StoreError(message, hint="write one anew")
        return self.in_force

    def set_aside(self) -> list[str]:
        self.is_damaged, self.in_force = False, None
        return ["table.json.damaged"]

    def mend(self, known: RouteTable) -> bool:
        is_damaged = self.in_force != known
        self.in_force = known
        return is_damaged

    def proposed(self) -> RouteTable | None:
        return self.open

    def propose(self, proposal: RouteTable | None) -> None:
        self.open = proposal
        self.changes += 1

    def settle(self, generation: int, *, refused: str | None = None) -> None:
        assert self.open is not None
        assert self.open.generation == generation
        if refused is None:
            self.in_force = self.open
        self.settled.append((generation, refused))
        self.propose(None)


class _Plane:
    """A settlement on a board whose statuses are said."""

    def __init__(self, timeout_s: float = 60.0) -> None:
        self.routes = _Routes()
        self.shown: list[int] = []
        self.said: dict[int, AcceptorStatus] = {}
        parts = SimpleNamespace(
            routes=self.routes,
            board=SimpleNamespace(statuses=lambda: tuple(self.said.values())),
            flip=SimpleNamespace(show=self.show),
            prepare_timeout_s=timeout_s,
        )
        self.is_full = False
        self.settlement = Settlement(cast("PlaneParts", parts))

    def show(self, mark: int) -> None:
        if self.is_full:
            message = "no room"
            raise StoreError(message)
        self.shown.append(mark)

    def say(self, slot: int, proposal: RouteTable | None, *, pid: int | None = None, refused: str = "") -> None:
        self.said[slot] = AcceptorStatus(
            slot=slot,
            pid=100 + slot if pid is None else pid,
            generation=0,
            prepared=0 if proposal is None else proposal.generation,
            refused=refused,
            sealed_epoch=0,
            requests=0,
            failures=0,
            started_ns=1,
            heartbeat_ns=1,
            proposal="" if proposal is None else fingerprint(proposal),
        )

    def step(self, running: Mapping[int, int | None] = _BOTH) -> list[tuple[int, str | None]]:
        self.settlement.step(running)
        return self.routes.settled


def test_the_table_in_force_is_shown_at_the_start() -> None:
    plane = _Plane()
    plane.settlement.begin()
    plane.routes.in_force = table(4, _ROUTE)
    plane.settlement.begin()
    assert plane.shown == [0, mark_of(table(4, _ROUTE))]


def test_tables_that_are_damaged_are_set_aside_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    plane = _Plane()
    plane.routes.is_damaged = True
    plane.settlement.begin()
    assert plane.shown == [0]
    assert "set aside as table.json.damaged" in caplog.text


def test_a_table_is_in_force_when_all_that_run_have_it() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    assert plane.step() == []
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    plane.say(1, None)
    assert plane.step() == []
    plane.say(1, proposal)
    assert plane.step() == [(1, None)]
    assert plane.shown == [mark_of(proposal)]
    assert plane.step() == [(1, None)]


def test_who_does_not_run_has_no_say() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    plane.say(1, proposal, pid=77, refused="of the process before")
    assert plane.step({0: None, 1: None}) == []  # nobody runs: nothing can be in force
    assert plane.step() == []
    assert plane.step({0: 100, 1: None}) == [(1, None)]


def test_another_table_of_the_same_generation_is_not_this_one() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    plane.routes.propose(proposal)
    for slot in _BOTH:
        plane.say(slot, table(1), refused="of the proposal before")
    assert plane.step() == []
    assert plane.shown == []


def test_one_refusal_drops_the_table_with_its_reason() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    plane.say(1, proposal, refused="digest does not match")
    assert plane.step() == [(1, "process 1: digest does not match")]
    assert plane.shown == []
    plane.routes.propose(proposal)  # the same again: those who refused it have not looked anew
    plane.say(1, proposal)
    assert plane.step()[1:] == [(1, None)]


def test_two_deaths_while_loading_drop_the_table() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    plane.settlement.lost(101)  # nothing is open: nothing can be blamed
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    assert plane.step() == []
    plane.settlement.lost(100)  # had loaded it: died of something else
    plane.settlement.lost(101)
    assert plane.step({0: 100, 1: None}) == [(1, None)]
    proposal = table(2, _ROUTE)
    plane.routes.propose(proposal)
    assert plane.step() == [(1, None)]  # deaths are counted anew
    plane.settlement.lost(100)
    assert plane.step() == [(1, None)]
    plane.settlement.lost(102)
    assert plane.step()[1:] == [(2, "serving processes died while they loaded it")]


def test_time_is_not_endless() -> None:
    plane, proposal = _Plane(timeout_s=-1.0), table(1, _ROUTE)
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    assert plane.step() == [(1, "only 1 of 2 serving processes loaded it within -1 s")]
    assert plane.shown == []


def test_a_new_proposal_takes_the_place_of_an_open_one() -> None:
    plane, first, second = _Plane(), table(1, _ROUTE), table(2, _ROUTE)
    plane.routes.propose(first)
    for slot in _BOTH:
        plane.say(slot, second)
    assert plane.step() == []
    plane.routes.propose(second)
    assert plane.step() == [(2, None)]


def test_what_was_proposed_while_the_live_table_was_damaged_is_dropped() -> None:
    plane = _Plane()
    plane.routes.in_force = table(4, _ROUTE)
    plane.settlement.begin()
    plane.routes.in_force = table(3, _ROUTE)  # the previous table stands in for the damaged one
    proposal = table(4, _ROUTE, _ROUTE)
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    plane.say(1, proposal)
    assert plane.step() == [(4, "generation 5 would follow the table in force")]
    assert plane.routes.in_force == table(4, _ROUTE)


def test_a_mark_that_cannot_be_shown_is_shown_later() -> None:
    plane, proposal = _Plane(), table(1, _ROUTE)
    plane.routes.propose(proposal)
    plane.say(0, proposal)
    plane.say(1, proposal)
    plane.is_full = True
    with pytest.raises(StoreError):
        plane.step()
    assert (plane.routes.in_force, plane.shown) == (proposal, [])
    plane.is_full = False
    plane.step()
    plane.step()
    assert plane.shown == [mark_of(proposal)]
