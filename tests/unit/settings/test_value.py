"""Readers take what TOML gives and say what they expected instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.settings import value as read

if TYPE_CHECKING:
    from kilter.settings.value import Reader


@pytest.mark.parametrize(
    ("reader", "given", "expected"),
    [
        (read.text, "a", "a"),
        (read.texts, ["a", "b"], ("a", "b")),
        (read.boolean, True, True),
        (read.choice("a", "b"), "b", "b"),
        (read.integer(1, 3), 3, 3),
        (read.number(0, 1), 1, 1.0),
        (read.duration, "30m", 1800.0),
        (read.duration, " 1.5 h ", 5400.0),
        (read.duration, "2w", 1_209_600.0),
        (read.optional_duration, "auto", None),
        (read.optional_duration, "500ms", 0.5),
        (read.period, "2/90d", 45 * 86_400.0),
        (read.size, "1.5KiB", 1536),
        (read.steps, [1, 2.5, 100], (1.0, 2.5, 100.0)),
        (read.margins, {"loss": 0.1, "error": 0}, (("loss", 0.1), ("error", 0.0))),
        (read.host, "::1", "::1"),
        (read.model_name, "a-1", "a-1"),
        (read.fallback, "", ""),
        (read.fallback, "last_good", "last_good"),
        (read.fallback, "churn@3", "churn@3"),
    ],
)
def test_a_right_value_is_read(reader: Reader, given: object, expected: object) -> None:
    assert reader(given) == expected


@pytest.mark.parametrize(
    ("reader", "given"),
    [
        (read.text, 1),
        (read.fallback, 1),
        (read.fallback, "the last one"),
        (read.texts, "a"),
        (read.texts, [1]),
        (read.boolean, 1),
        (read.choice("a"), "b"),
        (read.choice("a"), 1),
        (read.integer(1, 3), 4),
        (read.integer(1, 3), True),
        (read.integer(1, 3), 1.0),
        (read.number(0, 1), 1.1),
        (read.number(0, 1), True),
        (read.number(0, 1), "1"),
        (read.duration, 3),
        (read.duration, "0s"),
        (read.duration, "3"),
        (read.period, "0/90d"),
        (read.period, 3),
        (read.period, "1/x"),
        (read.size, 3),
        (read.size, "3"),
        (read.size, "3 apples"),
        (read.steps, []),
        (read.steps, [0, 100]),
        (read.steps, [5, 50]),
        (read.steps, [True, 100]),
        (read.margins, {"speed": 0.1}),
        (read.margins, {"loss": 2}),
        (read.host, "0.0.0.0"),  # noqa: S104 - refused
        (read.model_name, "A"),
        (read.model_name, "a" * 64),
        (read.model_name, 1),
    ],
)
def test_a_wrong_value_says_what_was_expected(reader: Reader, given: object) -> None:
    with pytest.raises(ValueError, match=r"^expected .*, got "):
        reader(given)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValueError, match=r"got 'x{36}\.\.\.$"):
        read.boolean("x" * 99)
