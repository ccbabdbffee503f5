"""What is special of memory; the rest is in the conformance kit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.decision import OutboxEvent
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Model
from kilter.errors import Conflict, NotFound, StoreError
from kilter.stores.memory import MemoryBlobs, MemoryMetadata

if TYPE_CHECKING:
    from collections.abc import Mapping

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_record_is_copied_so_later_changes_of_the_original_do_not_show() -> None:
    payload: dict[str, str | int | float | bool | None] = {"a": 1}
    event = OutboxEvent(id="e", topic="t", subject="s", payload=payload, created_at=AT, available_at=AT)
    store = MemoryMetadata()
    store.write(lambda tx: tx.add(event))
    payload["a"] = 2
    found = store.read(lambda tx: tx.get(OutboxEvent, "e"))
    assert found is not None
    expected: Mapping[str, object] = {"a": 1}
    assert found.payload == expected


def test_a_read_keeps_its_view_while_others_write() -> None:
    store = MemoryMetadata()

    def look(tx: object) -> int:
        store.write(lambda other: other.add(Model(id=ModelId("m"), name="a", created_at=AT)))
        return len(tx.list(Model))  # type: ignore[attr-defined]

    assert store.read(look) == 0
    assert len(store.read(lambda tx: tx.list(Model))) == 1


def test_a_kind_that_is_not_stored_is_refused() -> None:
    store = MemoryMetadata()
    with pytest.raises(ValueError, match="not a kind"):
        store.read(lambda tx: tx.get(VersionId, "x"))  # type: ignore[type-var]


def test_a_conflict_names_the_unique_fields() -> None:
    store = MemoryMetadata()
    store.write(lambda tx: tx.add(Model(id=ModelId("m1"), name="a", created_at=AT)))
    with pytest.raises(Conflict, match="Model with name a exists already"):
        store.write(lambda tx: tx.add(Model(id=ModelId("m2"), name="a", created_at=AT)))


def test_a_closed_store_says_so() -> None:
    store = MemoryMetadata()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.read(lambda _: None)


def test_a_missing_blob_is_named() -> None:
    with pytest.raises(NotFound, match="sha256:00"):
        MemoryBlobs().get(Digest("sha256:00"))
