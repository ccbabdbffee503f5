"""Claims about the file of what a node was told beside its route table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.errors import StoreError
from kilter.stores.overrides import OverrideFile

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_said_holds_for_its_generation_only(tmp_path: Path) -> None:
    file = OverrideFile(tmp_path / "route")
    assert file.unloaded(1) == frozenset()
    assert file.unload("a", generation=1) == {"a"}
    assert file.unload("b", generation=1) == {"a", "b"}
    assert file.load("a", generation=1) == {"b"}
    assert OverrideFile(tmp_path / "route").unloaded(1) == {"b"}
    assert file.unloaded(2) == frozenset()
    assert file.unload("c", generation=2) == {"c"}
    assert file.unloaded(1) == frozenset()


def test_a_process_that_is_behind_speaks_of_the_newer_generation(tmp_path: Path) -> None:
    file = OverrideFile(tmp_path)
    file.unload("a", generation=5)
    assert file.unload("b", generation=4) == {"a", "b"}
    assert file.unloaded(5) == {"a", "b"}


def test_the_token_changes_with_the_file(tmp_path: Path) -> None:
    file = OverrideFile(tmp_path)
    tokens = [file.token()]
    for name in ("a", "b", "c"):
        file.unload(name, generation=1)
        tokens.append(file.token())
    assert len(set(tokens)) == 4
    assert file.token() == tokens[-1]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"generation": "x"}', b'{"schema": 9, "unloaded": ["a"]}']
)
def test_a_file_of_another_kind_says_nothing_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "overrides.json").write_bytes(content)
    file = OverrideFile(tmp_path)
    assert file.unloaded(0) == frozenset()
    assert file.unload("b", generation=3) == {"b"}
    assert file.unloaded(3) == {"b"}


def test_what_the_system_refuses_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "overrides.json").mkdir()
    file = OverrideFile(tmp_path)
    with pytest.raises(StoreError, match="read"):
        file.unloaded(1)
    with pytest.raises(StoreError, match="write"):
        file.unload("a", generation=1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="write"):
        OverrideFile(tmp_path / "file").load("a", generation=1)
