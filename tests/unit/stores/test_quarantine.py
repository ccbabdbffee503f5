"""Claims about inputs that are kept for inspection."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.quarantine import Quarantined
from kilter.stores.quarantine import QuarantineFolder

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DAY_NS = 24 * 3_600 * 10**9
ENTRY = Quarantined(
    digest="sha256:ab",
    fingerprint="f1",
    deployment="churn",
    version=7,
    since_ns=DAY_NS,
    columns=("age", "plan"),
    rows=({"age": 3.0, "plan": None},),
)


def test_what_is_kept_is_known_for_a_day(tmp_path: Path) -> None:
    now = [DAY_NS]
    shelf = QuarantineFolder(tmp_path / "q", time_ns=lambda: now[0])
    assert shelf.known("sha256:ab") == {}
    shelf.keep(ENTRY)
    assert QuarantineFolder(tmp_path / "q", time_ns=lambda: now[0]).known("sha256:ab") == {"f1": DAY_NS}
    assert shelf.known("sha256:cd") == {}
    now[0] += DAY_NS + 1
    assert shelf.known("sha256:ab") == {}


def test_a_person_can_read_it(tmp_path: Path) -> None:
    QuarantineFolder(tmp_path, time_ns=lambda: 0).keep(ENTRY)
    told = json.loads((tmp_path / "ab" / "f1.json").read_text())
    assert (told["deployment"], told["version"], told["rows"]) == ("churn", 7, [{"age": 3.0, "plan": None}])


def test_rows_that_are_too_many_are_left_out(tmp_path: Path) -> None:
    shelf = QuarantineFolder(tmp_path, time_ns=lambda: DAY_NS)
    shelf.keep(replace(ENTRY, rows=ENTRY.rows * 20_000))
    assert (tmp_path / "ab" / "f1.json").stat().st_size < 1_000
    assert shelf.known("sha256:ab") == {"f1": DAY_NS}


def test_the_oldest_inputs_and_versions_go_first(tmp_path: Path) -> None:
    shelf = QuarantineFolder(tmp_path, time_ns=lambda: DAY_NS)
    for number in range(102):
        shelf.keep(replace(ENTRY, fingerprint=f"f{number}"))
        os.utime(tmp_path / "ab" / f"f{number}.json", ns=(number, number))
    shelf.keep(replace(ENTRY, fingerprint="last"))
    kept = {path.stem for path in (tmp_path / "ab").glob("*.json")}
    assert len(kept) == 100
    assert {"last", "f101"} <= kept
    assert not kept & {"f0", "f1", "f2"}
    os.utime(tmp_path / "ab", ns=(1, 1))
    for number in range(20):
        shelf.keep(replace(ENTRY, digest=f"sha256:{number}"))
    assert not (tmp_path / "ab").exists()
    assert len(list(tmp_path.iterdir())) == 20


def test_a_damaged_file_is_passed_over_and_a_refusing_folder_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = QuarantineFolder(tmp_path, time_ns=lambda: DAY_NS)
    shelf.keep(ENTRY)
    (tmp_path / "ab" / "f2.json").write_text("{")
    assert shelf.known("sha256:ab") == {"f1": DAY_NS}
    assert "f2.json cannot be read" in caplog.text
    (tmp_path / "cd").write_text("a file where the folder should be")
    shelf.keep(replace(ENTRY, digest="sha256:cd"))
    assert "cannot be kept" in caplog.text
