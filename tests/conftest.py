"""What all tests share: one hypothesis profile, and soft findings shown after the run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import settings

if TYPE_CHECKING:
    import pytest

# Planes that tests start on free ports must not meet on gRPC's default one; who tests gRPC asks for it.
os.environ.setdefault("KILTER_SERVING__GRPC_PORT", "0")

# Wall-clock deadlines measure the machine; the same examples everywhere make a failure repeatable.
settings.register_profile("kilter", deadline=None, derandomize=True)
settings.load_profile("kilter")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as `soft`: worth a look, not a failure."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    soft = sorted({str(text) for report in reports for name, text in report.user_properties if name == "soft"})
    if soft:
        terminalreporter.section("soft limits")
        for line in soft:
            terminalreporter.line(line)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions and classes by their names: an address would differ between the processes of one run."""
    return getattr(val, "__name__", None) if callable(val) else None
