"""All processes see the same mark at once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kilter.errors import StoreError
from kilter.stores.flip import FlipPage

if TYPE_CHECKING:
    from pathlib import Path

READER = """
import sys
from kilter.stores.flip import FlipPage
page = FlipPage(sys.argv[1])
for _ in sys.stdin:
    print(page.marks[0], flush=True)
"""


def test_a_new_page_shows_nothing_and_an_old_one_what_was_shown_last(tmp_path: Path) -> None:
    assert FlipPage(tmp_path / "run").marks[0] == 0
    FlipPage(tmp_path / "run").show(2**64 - 1)
    assert FlipPage(tmp_path / "run").marks[0] == 2**64 - 1


def test_another_process_sees_a_mark_as_soon_as_it_is_shown(tmp_path: Path) -> None:
    page = FlipPage(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for mark in (7, 2**63 + 1, 0):
            page.show(mark)
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert int(reader.stdout.readline()) == mark
        reader.stdin.close()


def test_a_page_that_cannot_be_made_mapped_or_written_is_an_error(tmp_path: Path) -> None:
    page = FlipPage(tmp_path)
    os.truncate(tmp_path / "flip", 3)
    with pytest.raises(StoreError, match="cannot be mapped"):
        _ = page.marks
    (tmp_path / "flip").unlink()
    (tmp_path / "flip").mkdir()
    with pytest.raises(StoreError, match="cannot be made"):
        FlipPage(tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        page.show(1)


@pytest.mark.parametrize("size", [0, 3])
def test_a_page_that_was_shortened_ends_nobody_who_shows_and_is_whole_again(tmp_path: Path, size: int) -> None:
    writer, reader = FlipPage(tmp_path), FlipPage(tmp_path)
    writer.show(7)
    assert reader.marks[0] == 7
    os.truncate(tmp_path / "flip", size)
    writer.show(2**63 + 1)
    assert reader.marks[0] == 2**63 + 1  # the same map
    os.truncate(tmp_path / "flip", size)
    assert FlipPage(tmp_path).marks[0] == (2**63 + 1) % 256 ** max(size, 1) * (size > 0)
    assert (tmp_path / "flip").stat().st_size == 8


def test_readers_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="read-only"):
        FlipPage(tmp_path).marks[0] = 1
