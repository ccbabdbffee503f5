"""Every key has a field in its record, and every field of a record that people set has a key."""

from __future__ import annotations

import dataclasses

import pytest

from kilter.contracts.verdict import GateRule
from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES
from kilter.settings.load import RECORDS

TABLES = {**ROOT_TABLES, **DEPLOYMENT_TABLES}


@pytest.mark.parametrize("table", TABLES)
def test_keys_and_fields_are_the_same(table: str) -> None:
    fields = {field.name for field in dataclasses.fields(RECORDS[table])} - {"folder"}
    assert {key.target for key in TABLES[table]} == fields


def test_gate_keys_are_the_fields_of_a_rule() -> None:
    assert {key.target for key in GATE_KEYS} == {field.name for field in dataclasses.fields(GateRule)}


@pytest.mark.parametrize("table", TABLES)
def test_a_key_says_what_it_is_for(table: str) -> None:
    assert all(key.about and not key.about.endswith(".") for key in TABLES[table])
