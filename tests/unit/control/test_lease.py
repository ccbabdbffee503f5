"""Leadership: one at a time, and nobody who was overtaken can write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kilter.contracts.decision import Job, Lease
from kilter.control.lease import LEASE, LIFETIME, Fence, Leadership
from kilter.errors import StoreError, WorldMoved
from kilter.stores.memory import MemoryMetadata

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(name: str) -> Job:
    return Job(id=name, kind="k", deployment="d", state="s", progress=0.0, message="", created_at=NOW, updated_at=NOW)


def test_the_first_to_ask_leads_and_the_second_waits() -> None:
    store = MemoryMetadata()
    first, second = Leadership(metadata=store, holder="a"), Leadership(metadata=store, holder="b")
    assert first.hold(NOW) is not None
    assert second.hold(NOW + LIFETIME / 2) is None


def test_a_lease_is_renewed_by_its_holder_with_the_same_token() -> None:
    store = MemoryMetadata()
    leader = Leadership(metadata=store, holder="a")
    first = leader.hold(NOW)
    assert leader.hold(NOW + timedelta(seconds=1)) is first  # not yet due: the store is left alone
    later = leader.hold(NOW + timedelta(seconds=6))
    assert first is not None
    assert later is not None
    assert (later.token, later.expires_at) == (first.token, NOW + timedelta(seconds=6) + LIFETIME)


def test_a_lease_that_ran_out_changes_hands_with_a_higher_token() -> None:
    store = MemoryMetadata()
    Leadership(metadata=store, holder="a").hold(NOW)
    taken = Leadership(metadata=store, holder="b").hold(NOW + LIFETIME)
    assert taken is not None
    assert taken.token == 2


def test_the_lease_of_a_dead_process_is_taken_at_once() -> None:
    store = MemoryMetadata()
    Leadership(metadata=store, holder="a").hold(NOW)
    taken = Leadership(metadata=store, holder="b", is_gone=lambda holder: holder == "a").hold(NOW)
    assert taken is not None
    assert taken.holder == "b"


def test_a_lease_given_back_is_free_at_once() -> None:
    store = MemoryMetadata()
    leader = Leadership(metadata=store, holder="a")
    leader.hold(NOW)
    leader.release(NOW)
    leader.release(NOW)
    assert Leadership(metadata=store, holder="b").hold(NOW) is not None


def test_a_lease_that_was_lost_is_not_given_back() -> None:
    store = MemoryMetadata()
    first = Leadership(metadata=store, holder="a")
    first.hold(NOW)
    Leadership(metadata=store, holder="b").hold(NOW + LIFETIME)
    first.release(NOW + LIFETIME)
    stored = store.read(lambda tx: tx.get(Lease, LEASE))
    assert stored is not None
    assert stored.expires_at == NOW + LIFETIME * 2


def test_a_leader_that_was_overtaken_cannot_write() -> None:
    fence = Fence(MemoryMetadata())
    lease = Leadership(metadata=fence, holder="a").hold(NOW)
    assert lease is not None
    Leadership(metadata=fence, holder="b").hold(NOW + LIFETIME)
    with fence.held(lease), pytest.raises(WorldMoved, match="no longer held"):
        fence.write(lambda tx: tx.add(job("j")))
    assert fence.read(lambda tx: tx.get(Job, "j")) is None


def test_the_leader_and_everybody_outside_the_loop_can_write() -> None:
    fence = Fence(MemoryMetadata())
    lease = Leadership(metadata=fence, holder="a").hold(NOW)
    assert lease is not None
    with fence.held(lease):
        fence.write(lambda tx: tx.add(job("one")))
    fence.write(lambda tx: tx.add(job("two")))
    assert [record.id for record in fence.read(lambda tx: tx.list(Job))] == ["one", "two"]


def test_a_closed_fence_is_a_closed_store() -> None:
    fence = Fence(MemoryMetadata())
    fence.close()
    with pytest.raises(StoreError):
        fence.read(lambda tx: tx.list(Job))
