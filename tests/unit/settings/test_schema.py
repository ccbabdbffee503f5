"""The schema of kilter.toml says what the reader does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilter.settings import load, schema
from kilter.settings.key import DEPLOYMENT_TABLES, ROOT_TABLES

if TYPE_CHECKING:
    from pathlib import Path


def properties(table: str) -> dict[str, Any]:
    whole: Any = schema()
    found: dict[str, Any] = whole["properties"][table]["properties"]
    return found


@pytest.mark.parametrize("table", [*ROOT_TABLES, *DEPLOYMENT_TABLES])
def test_every_key_is_described(table: str) -> None:
    keys = {**ROOT_TABLES, **DEPLOYMENT_TABLES}[table]
    assert list(properties(table)) == [key.name for key in keys]
    assert all(described["description"] and len(described) > 1 for described in properties(table).values())


def test_limits_choices_and_needs_are_the_readers() -> None:
    whole: Any = schema()
    assert properties("serving")["port"] | {"description": ""} == {
        "type": "integer", "minimum": 1, "maximum": 65535, "description": "",
    }  # fmt: skip
    assert properties("model")["risk"]["enum"] == ["minimal", "limited", "high"]
    assert whole["properties"]["model"]["required"] == ["name", "source"]
    assert whole["properties"]["gates"]["items"]["required"] == ["metric"]
    assert whole["additionalProperties"] is False


def test_it_is_json() -> None:
    assert json.loads(json.dumps(schema())) == schema()


def test_a_default_file_reads_with_the_names_of_the_schema(tmp_path: Path) -> None:
    lines = ["[model]", 'name = "a"', 'source = "b"', "[monitor]", f'{next(iter(properties("monitor")))} = "2h"']
    (tmp_path / "kilter.toml").write_text("\n".join(lines))
    assert load(tmp_path).deployments[0].monitor.window_s == 7200.0
