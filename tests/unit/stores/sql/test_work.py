"""What one transaction says when it refuses; the rest is in the conformance kit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from kilter.contracts.ids import ModelId
from kilter.contracts.model import Model
from kilter.errors import Conflict, NotFound, StoreError
from kilter.stores.sql.schema import create
from kilter.stores.sql.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Model(id=ModelId("m1"), name="a", created_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def work() -> Iterator[Work]:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        create(connection)
        yield Work(connection)
    engine.dispose()


def test_a_conflict_names_the_field_and_its_value(work: Work) -> None:
    work.add(MODEL)
    with pytest.raises(Conflict, match="Model with name a exists already") as caught:
        work.add(replace(MODEL, id=ModelId("m2")))
    assert caught.value.details == {"field": "name"}


def test_a_conflict_of_ids_names_the_id(work: Work) -> None:
    work.add(MODEL)
    with pytest.raises(Conflict, match="Model with id m1 exists already"):
        work.add(replace(MODEL, name="b"))


def test_a_name_taken_by_another_is_a_conflict_in_a_replacement(work: Work) -> None:
    work.add(MODEL)
    work.add(replace(MODEL, id=ModelId("m2"), name="b"))
    with pytest.raises(Conflict, match="name a"):
        work.replace(replace(MODEL, id=ModelId("m2"), version=2))


def test_a_stale_replacement_is_told_the_current_version(work: Work) -> None:
    work.add(MODEL)
    with pytest.raises(Conflict, match="is at version 1, not the one before 5") as caught:
        work.replace(replace(MODEL, version=5))
    assert caught.value.details == {"current_version": 1}


def test_an_unknown_record_is_not_found(work: Work) -> None:
    with pytest.raises(NotFound, match="there is no Model `m1`"):
        work.replace(replace(MODEL, version=2))


def test_after_its_end_every_call_is_refused(work: Work) -> None:
    work.end()
    with pytest.raises(StoreError, match="over"):
        work.list(Model)
