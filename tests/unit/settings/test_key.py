"""The table of keys and the records of the tree agree."""

from __future__ import annotations

from dataclasses import fields

import pytest

from kilter.contracts.spec import DeploymentSpec
from kilter.contracts.verdict import GateRule
from kilter.settings.key import DEPLOYMENT_TABLES, GATE_KEYS, ROOT_TABLES, Key
from kilter.settings.load import _RECORDS


@pytest.mark.parametrize("table", [*ROOT_TABLES, *DEPLOYMENT_TABLES])
def test_every_key_has_its_field_and_every_field_its_key(table: str) -> None:
    keys: tuple[Key, ...] = (dict(ROOT_TABLES) | dict(DEPLOYMENT_TABLES))[table]
    names = {field.name for field in fields(_RECORDS[table])} - {"folder"}
    assert {key.target for key in keys} == names
    assert all(key.about for key in keys)


def test_every_deployment_table_is_part_of_the_spec() -> None:
    assert {field.name for field in fields(DeploymentSpec)} == {*DEPLOYMENT_TABLES, "gates"}


def test_gate_keys_are_the_rule() -> None:
    assert {key.target for key in GATE_KEYS} == {field.name for field in fields(GateRule)}
