"""Quantities keep their meaning."""

from __future__ import annotations

import pytest

from kilter.settings import value


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("30m", 1800.0), ("1.5h", 5400.0), ("2w", 1_209_600.0)])
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert value.duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("1KiB", 1024), ("2 MB", 2_000_000), ("0.5GiB", 536_870_912)])
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert value.size(text) == size


def test_auto_is_no_duration() -> None:
    assert value.optional_duration("auto") is None
    assert value.optional_duration("1d") == 86_400.0


def test_a_zero_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a budget"):
        value.period("0/90d")


def test_a_long_value_is_cut_in_the_complaint() -> None:
    with pytest.raises(ValueError, match=r"\.\.\.$"):
        value.boolean("x" * 100)
