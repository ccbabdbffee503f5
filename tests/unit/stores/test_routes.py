from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.ids import Digest
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.errors import StoreError, WorldMoved
from kilter.stores.routes import RouteFiles

if TYPE_CHECKING:
    from pathlib import Path


def table(generation: int) -> RouteTable:
    champion = RouteVariant(version=generation, digest=Digest("sha256:" + "a" * 64))
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    route = Route(deployment="ward", champion=champion, weight=500, judged_until=at, redact=("name",))
    return RouteTable(generation=generation, written_at=at, routes=(route,))


@pytest.fixture
def routes(tmp_path: Path) -> RouteFiles:
    return RouteFiles(tmp_path / "route")


def put_live(routes: RouteFiles, *generations: int) -> None:
    for generation in generations:
        routes.propose(table(generation))
        routes.settle(generation)


def test_before_the_first_table_there_is_none(routes: RouteFiles) -> None:
    assert (routes.live(), routes.previous(), routes.proposed(), routes.refusal()) == (None, None, None, None)


def test_a_proposal_goes_live_and_the_old_table_stays_as_previous(routes: RouteFiles) -> None:
    routes.propose(table(1))
    assert (routes.live(), routes.proposed()) == (None, table(1))
    routes.settle(1)
    assert (routes.live(), routes.proposed(), routes.previous()) == (table(1), None, None)
    put_live(routes, 2)
    assert (routes.live(), routes.previous()) == (table(2), table(1))


def test_a_refused_proposal_leaves_the_live_table_and_its_reason(routes: RouteFiles) -> None:
    put_live(routes, 1)
    routes.propose(table(2))
    routes.settle(2, refused="slot 0: no such blob")
    assert (routes.live(), routes.proposed()) == (table(1), None)
    assert routes.refusal() == (2, "slot 0: no such blob")


@pytest.mark.parametrize("generation", [1, 3])
def test_generations_grow_by_one(routes: RouteFiles, generation: int) -> None:
    put_live(routes, 1)
    with pytest.raises(WorldMoved):
        routes.propose(table(generation))


def test_one_proposal_at_a_time(routes: RouteFiles) -> None:
    routes.propose(table(1))
    with pytest.raises(WorldMoved):
        routes.propose(table(1))


def test_settling_another_generation_is_refused(routes: RouteFiles) -> None:
    with pytest.raises(WorldMoved):
        routes.settle(1)
    routes.propose(table(1))
    with pytest.raises(WorldMoved):
        routes.settle(2)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"table": 1}', b"[]"])
def test_a_damaged_live_table_is_answered_from_the_previous_one(
    routes: RouteFiles, tmp_path: Path, damage: bytes
) -> None:
    put_live(routes, 1, 2)
    (tmp_path / "route" / "table.json").write_bytes(damage)
    assert routes.live() == table(1)


def test_a_changed_digit_is_damage(routes: RouteFiles, tmp_path: Path) -> None:
    put_live(routes, 1)
    live = tmp_path / "route" / "table.json"
    live.write_bytes(live.read_bytes().replace(b'"weight":500', b'"weight":900'))
    with pytest.raises(StoreError):
        routes.live()


def test_damage_everywhere_is_an_error_or_nothing_waiting(routes: RouteFiles, tmp_path: Path) -> None:
    put_live(routes, 1, 2)
    for name in ("table.prev.json", "table.next.json", "refused.json"):
        (tmp_path / "route" / name).write_bytes(b"?")
    with pytest.raises(StoreError):
        routes.previous()
    assert (routes.proposed(), routes.refusal()) == (None, None)


def test_the_token_changes_with_the_live_and_the_proposed_table(routes: RouteFiles) -> None:
    seen = [routes.token()]
    routes.propose(table(1))
    seen.append(routes.token())
    routes.settle(1)
    seen.append(routes.token())
    assert len(set(seen)) == 3
    assert routes.token() == seen[-1]


def test_an_unwritable_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "route").write_text("a file")
    with pytest.raises(StoreError):
        RouteFiles(tmp_path / "route").propose(table(1))


def test_a_damaged_or_lost_live_table_is_mended_from_memory(tmp_path: Path) -> None:
    routes = RouteFiles(tmp_path)
    put_live(routes, 1, 2)
    live = routes.live()
    assert live is not None
    assert not routes.mend(live)
    (tmp_path / "table.json").write_bytes(b"")
    assert routes.live() != live  # the previous one stands in
    assert routes.mend(live)
    assert routes.live() == live
    assert (tmp_path / "table.bad").read_bytes() == b""
    (tmp_path / "table.json").unlink()
    assert routes.mend(live)
    assert routes.live() == live


def test_tables_damaged_beyond_use_are_set_aside(tmp_path: Path) -> None:
    routes = RouteFiles(tmp_path)
    assert routes.set_aside() == ()
    put_live(routes, 1, 2)
    assert routes.set_aside() == ()
    for name in ("table.json", "table.prev.json"):
        (tmp_path / name).write_text("garbage")
    assert routes.set_aside() == ("table.bad", "table.prev.bad")
    assert routes.live() is None
