"""Log lines are one JSON object each."""

from __future__ import annotations

import json
import logging

import pytest

from kilter.faces.api.logline import JsonLines


def test_fields_and_traces_are_in_the_line() -> None:
    with pytest.raises(ValueError, match="invalid") as caught:
        int("no")
    record = logging.LogRecord(
        "kilter.x", logging.WARNING, "f", 1, "step.failed", (), (caught.type, caught.value, caught.tb)
    )
    record.deployment = "a"
    record.odd = {1, 2}
    line = JsonLines().format(record)
    read = json.loads(line)
    assert "\n" not in line
    assert (read["event"], read["level"], read["deployment"]) == ("step.failed", "warning", "a")
    assert "ValueError: invalid literal" in read["trace"]
