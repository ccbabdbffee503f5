"""The audit chain: every row fits the one before, and whoever changes one is found."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from kilter.services.governance import Governance, digest_of
from kilter.stores.memory import MemoryMetadata

if TYPE_CHECKING:
    from kilter.contracts.evidence import AuditRow
    from kilter.contracts.metadata import WriteTx

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = AT

    def now(self) -> datetime:
        return self.at

    def time_ns(self) -> int:
        return int(self.at.timestamp() * 1e9)


@pytest.fixture
def store() -> MemoryMetadata:
    return MemoryMetadata()


@pytest.fixture
def governance(store: MemoryMetadata) -> Governance:
    return Governance(metadata=store, clock=Hand())


def write(store: MemoryMetadata, governance: Governance, n: int = 1) -> list[AuditRow]:
    """Write rows, each in its own transaction."""

    def one(tx: WriteTx) -> AuditRow:
        return governance.record(
            tx, by="policy", action="promote", subject="d", detail={"b": 1, "a": 0.1, "c": True, "d": None, "e": "ü"}
        )

    return [store.write(one) for _ in range(n)]


def tampered(rows: list[AuditRow]) -> Governance:
    """A store that holds these rows as they are."""
    store = MemoryMetadata()
    for row in rows:
        store.write(lambda tx, row=row: tx.add(row))  # type: ignore[misc]
    return Governance(metadata=store, clock=Hand())


def test_the_first_row_has_number_1_and_follows_zeros(store: MemoryMetadata, governance: Governance) -> None:
    (row,) = write(store, governance)
    assert (row.id, row.previous, row.at) == ("000000000001", "0" * 64, AT)


def test_the_digest_is_that_of_the_canonical_json_written_out_here(
    store: MemoryMetadata, governance: Governance
) -> None:
    import hashlib  # noqa: PLC0415 - the claim is that nothing else is needed to verify

    (row,) = write(store, governance)
    text = (
        '{"action":"promote","at":"2026-01-01T12:00:00.000000+00:00","by":"policy",'
        '"detail":{"a":0.1,"b":1,"c":true,"d":null,"e":"ü"},"id":"000000000001","previous":"'
        + "0" * 64
        + '","subject":"d"}'
    )
    assert row.digest == hashlib.sha256(text.encode()).hexdigest() == digest_of(row)


def test_an_empty_chain_is_verified(governance: Governance) -> None:
    state = governance.verify()
    assert (state.rows, state.is_verified) == (0, True)


def test_a_chain_longer_than_a_page_is_verified(store: MemoryMetadata, governance: Governance) -> None:
    def many(tx: WriteTx) -> None:
        for number in range(1_003):
            governance.record(tx, by="a", action="b", subject="c", detail={"n": number})

    store.write(many)
    state = governance.verify()
    assert (state.rows, state.first_bad) == (1_003, None)


@pytest.mark.parametrize(
    "change",
    [
        {"by": "somebody"},
        {"detail": {"b": 2}},
        {"at": AT + timedelta(microseconds=1)},
        {"previous": "1" * 64},
        {"digest": "1" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_row_is_found(store: MemoryMetadata, governance: Governance, change: dict[str, object]) -> None:
    rows = write(store, governance, 4)
    rows[2] = replace(rows[2], **change)  # type: ignore[arg-type]
    state = tampered(rows).verify()
    assert (state.rows, state.first_bad, state.is_verified) == (2, "000000000003", False)


def test_a_changed_row_with_its_digest_made_anew_breaks_the_next(store: MemoryMetadata, governance: Governance) -> None:
    rows = write(store, governance, 3)
    forged = replace(rows[1], by="somebody")
    rows[1] = replace(forged, digest=digest_of(forged))
    assert tampered(rows).verify().first_bad == "000000000003"


@pytest.mark.parametrize("gone", [0, 1])
def test_a_removed_row_is_found(store: MemoryMetadata, governance: Governance, gone: int) -> None:
    rows = write(store, governance, 3)
    del rows[gone]
    assert tampered(rows).verify().first_bad == rows[gone].id


def test_infinite_numbers_become_text(store: MemoryMetadata, governance: Governance) -> None:
    row = store.write(
        lambda tx: governance.record(tx, by="a", action="b", subject="c", detail={"x": math.inf, "y": math.nan})
    )
    assert row.detail == {"x": "inf", "y": "nan"}
    assert governance.verify().is_verified


def test_a_row_lives_and_dies_with_its_transaction(store: MemoryMetadata, governance: Governance) -> None:
    def fail(tx: WriteTx) -> None:
        governance.record(tx, by="a", action="b", subject="c", detail={})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(fail)
    assert governance.rows() == ()
    assert write(store, governance)[0].id == "000000000001"


def test_rows_come_in_pages_in_both_directions(store: MemoryMetadata, governance: Governance) -> None:
    ids = [row.id for row in write(store, governance, 5)]
    assert [row.id for row in governance.rows(limit=2)] == ids[:2]
    assert [row.id for row in governance.rows(ids[1], 2)] == ids[2:4]
    assert [row.id for row in governance.rows(newest_first=True, limit=2)] == ids[:-3:-1]


def test_concurrent_writers_keep_one_chain(store: MemoryMetadata, governance: Governance) -> None:
    threads = [threading.Thread(target=write, args=(store, governance, 50)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = governance.verify()
    assert (state.rows, state.is_verified) == (200, True)
