"""The kits are themselves tested: for each clause something that breaks its promise is caught."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.check import CheckSpec
from kilter.contracts.reading import Reading
from kilter.contracts.verdict import GateRule, GateSpec, Verdict, VerdictState
from kilter.testing import checks, gates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.check import CheckInputs

SPEC = CheckSpec(id="broken", title="A broken check")
NUMBERS = count()


def bare(_inputs: CheckInputs) -> tuple[Reading, ...]:
    return (Reading(metric="broken", estimate=0.5),)


def empty(_inputs: CheckInputs) -> tuple[Reading, ...]:
    return ()


def first_row(inputs: CheckInputs) -> tuple[Reading, ...]:
    value = float(np.asarray(inputs.columns["age"])[0])
    return (Reading(metric="broken", estimate=value, low=value, high=value),)


def restless(_inputs: CheckInputs) -> tuple[Reading, ...]:
    return (Reading(metric="broken", estimate=float(next(NUMBERS)), low=0.0, high=1e9),)


@pytest.mark.parametrize(
    ("clause", "run"),
    list(zip(checks.CHECKS, (bare, empty, first_row, restless), strict=True)),
    ids=lambda one: one.__name__,
)
def test_a_broken_check_is_caught(
    clause: checks.CheckClause, run: Callable[[CheckInputs], tuple[Reading, ...]]
) -> None:
    with pytest.raises(AssertionError, match="promise broken"):
        clause(SimpleNamespace(CHECK=SPEC, run=run))


def strict(readings: Sequence[Reading], _rule: GateRule) -> Verdict:
    return Verdict(gate="g", state=VerdictState.FAIL, reason=f"{len(readings)} readings", readings=())


def lenient(_readings: Sequence[Reading], _rule: GateRule) -> Verdict:
    return Verdict(gate="g", state=VerdictState.PASS, reason="fine", readings=())


def capricious(readings: Sequence[Reading], _rule: GateRule) -> Verdict:
    width = (readings[0].high or 0.0) - (readings[0].low or 0.0)
    state = VerdictState.INCONCLUSIVE if width < 1 else VerdictState.PASS
    return Verdict(gate="g", state=state, reason="wide", readings=())


@pytest.mark.parametrize(
    ("clause", "judge"),
    list(zip(gates.GATES, (strict, lenient, capricious), strict=True)),
    ids=lambda one: one.__name__,
)
def test_a_broken_judge_is_caught(clause: gates.GateClause, judge: Callable[..., Verdict]) -> None:
    readings = [Reading(metric="m", estimate=0.5, low=0.4, high=0.6, n=500)]
    with pytest.raises(AssertionError, match="promise broken"):
        clause(
            SimpleNamespace(GATE=GateSpec(id="g", title="A broken judge"), judge=judge), GateRule(metric="m"), readings
        )
