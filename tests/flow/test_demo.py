"""The demonstration keeps its promises: the whole loop, on real data, decided by the loop itself."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 540


class _Addresses(HTMLParser):
    """Collects everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href"} and tag != "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, object]:
    """Run the demo once; its last line of standard output is the summary."""
    call = [sys.executable, "-m", "kilter", "demo", "--exit", "--json", "--dir", str(folder)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def number(summary: dict[str, object], key: str) -> float:
    value = summary[key]
    assert isinstance(value, (int, float))
    return float(value)


def test_nothing_fails_and_nothing_is_lost(summary: dict[str, object]) -> None:
    assert number(summary, "requests") >= 10_000
    assert summary["failed_requests"] == 0
    assert summary["requests_failed_during_swap"] == 0
    assert summary["predictions_logged"] == summary["rows_acknowledged"] == summary["requests"]
    assert summary["labels_joined"] == summary["labels_sent"]


def test_decay_is_noticed_and_not_before_it_is_there(summary: dict[str, object]) -> None:
    alarm = summary["first_alarm"]
    assert isinstance(alarm, dict)
    assert alarm["window"] > 3
    assert alarm["reason"]
    assert summary["false_alarms_before_drift"] == 0


def test_repair_helps(summary: dict[str, object]) -> None:
    assert summary["recalibrated"] is True
    assert summary["retrained"] is True
    assert number(summary, "promotions") >= 2
    assert number(summary, "accuracy_after_repair") > number(summary, "accuracy_before_repair")
    assert number(summary, "ece_after_repair") < number(summary, "ece_before_repair")
    assert number(summary, "accuracy_after_repair") > number(summary, "accuracy_had_nothing_been_done")


def test_the_faulty_version_is_rolled_back_and_kept_out(summary: dict[str, object]) -> None:
    assert summary["faulty_version_passed_gates"] is True
    assert summary["rolled_back"] is True
    assert number(summary, "rollback_seconds") > 0
    assert summary["faulty_version_refused_again"] is True


def test_the_evidence_is_whole(summary: dict[str, object]) -> None:
    assert summary["audit_verified"] is True
    assert number(summary, "audit_rows") > 20


def test_the_report_needs_nothing_else(summary: dict[str, object], folder: Path) -> None:
    assert summary["ok"] is True
    page = (folder / "report.html").read_text(encoding="utf-8")
    addresses = _Addresses()
    addresses.feed(page)
    assert addresses.found == []
    assert "<svg" in page
