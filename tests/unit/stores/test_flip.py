"""All processes see the same mark at once."""

from __future__ import annotations

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


def test_a_page_that_cannot_be_mapped_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "flip").mkdir()
    with pytest.raises(StoreError, match="cannot be mapped"):
        FlipPage(tmp_path)
