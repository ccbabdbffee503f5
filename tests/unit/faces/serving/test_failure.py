"""A failure is told once with its cause; a client who tries again does not fill the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kilter.errors import ModelFailed
from kilter.faces.serving.failure import FailureLog

if TYPE_CHECKING:
    import pytest


def test_the_same_failure_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = FailureLog(logging.getLogger("kilter.test"), now_s=lambda: now[0])
    for second in range(90):
        now[0] = float(second)
        log(ModelFailed("it fell"))
    log(ModelFailed("another"))
    assert [record.getMessage() for record in caplog.records] == [
        "model failed: it fell",
        "model failed: it fell (and 59 times since it was last told)",
        "model failed: another",
    ]
    assert caplog.records[0].exc_info is not None


def test_many_kinds_are_forgotten_at_once(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog(logging.getLogger("kilter.test"))
    for kind in range(200):
        log(ModelFailed(f"kind {kind}"))
    assert len(caplog.records) == 200
