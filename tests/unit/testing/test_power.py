"""The disk that forgets is itself tested: it loses what was not synced, and keeps what was."""

from __future__ import annotations

import errno
import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from kilter.testing.power import PowerDisk

if TYPE_CHECKING:
    from pathlib import Path


def disk(seed: int, *, moment: int = 10_000) -> PowerDisk:
    return PowerDisk(Random(seed), moment=moment, at_cut=lambda: None)  # noqa: S311 - what survives, no secrets


def left(made: PowerDisk, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    made.leave(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_unsynced_bytes_may_be_lost_torn_or_kept_but_synced_ones_stay(tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(60):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = disk(seed)
        fd = made.create(folder / "a")
        made.write(fd, b"s" * 700)
        made.sync(fd)
        made.sync_folder(folder)
        made.write(fd, b"u" * 2_000)
        os.close(fd)
        found = left(made, folder / "after")["a"]
        assert found[:700] == b"s" * 700
        outcomes.add("all" if found[700:] == b"u" * 2_000 else "none" if len(found) == 700 else "torn")
    assert outcomes == {"all", "none", "torn"}


def test_a_name_needs_its_folder_synced(tmp_path: Path) -> None:
    names = set()
    for seed in range(30):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = disk(seed)
        fd = made.create(folder / "a")
        made.write(fd, b"x")
        made.sync(fd)
        made.sync_folder(folder)
        made.rename(folder / "a", folder / "b")
        os.close(made.create(folder / "c"))
        os.close(fd)
        names.add(tuple(sorted(left(made, folder / "after"))))
    assert names == {("a",), ("b",), ("a", "c"), ("b", "c")}


def test_a_file_whose_sync_failed_keeps_nothing_more(tmp_path: Path) -> None:
    lost = 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = disk(seed)
        made.failing_syncs = 1
        fd = made.create(folder / "a")
        made.write(fd, b"x" * 600)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            made.sync(fd)
        made.sync(fd)
        made.sync_folder(folder)
        os.close(fd)
        lost += left(made, folder / "after")["a"] != b"x" * 600
    assert lost


def test_the_moment_decides_what_was_known(tmp_path: Path) -> None:
    seen: list[int] = []
    made = PowerDisk(Random(1), moment=5, at_cut=lambda: seen.append(1))  # noqa: S311 - no secrets
    fd = made.create(tmp_path / "a")
    made.write(fd, b"x")
    assert not seen
    made.truncate(fd, 0)
    assert seen == [1]
    made.failing_writes = 1
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _ = [made.write(fd, b"late") for _ in range(50)]
    os.close(fd)
    after = tmp_path / "after"
    after.mkdir()
    made.leave(after, is_power_lost=False)
    assert (after / "a").read_bytes() == b"x"
