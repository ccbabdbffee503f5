from __future__ import annotations

import math

import pytest

from kilter.contracts.reading import Reading


@pytest.mark.parametrize("name", ["estimate", "low", "high"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(name: str, value: float) -> None:
    numbers = {"estimate": 0.5, name: value}
    with pytest.raises(ValueError, match=f"reading auc: {name} is"):
        Reading(metric="auc", estimate=numbers["estimate"], low=numbers.get("low"), high=numbers.get("high"))


def test_there_is_an_estimate_or_the_reason_why_there_is_none() -> None:
    assert Reading(metric="auc", estimate=0.5).not_evaluated is None
    assert Reading(metric="auc", not_evaluated="one_class: no negatives").estimate is None
    with pytest.raises(ValueError, match="an estimate or the reason"):
        Reading(metric="auc")
    with pytest.raises(ValueError, match="an estimate or the reason"):
        Reading(metric="auc", estimate=0.5, not_evaluated="no_data: nothing")
