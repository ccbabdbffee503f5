from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilter.contracts.monitor import SignalState
from kilter.contracts.spec import MonitorSpec
from kilter.measures.signals import Evidence
from kilter.policy.detection import advance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.monitor import Signal
    from kilter.policy.detection import Alarm


SPEC = MonitorSpec()


def step(signals: Sequence[Signal], *evidence: tuple[str, str, float]) -> tuple[tuple[Signal, ...], tuple[Alarm, ...]]:
    return advance(
        {(one.family, one.name): one for one in signals},
        [Evidence(family=family, name=name, log_e=log_e) for family, name, log_e in evidence],
        deployment="d",
        number=3,
        present=["performance", "calibration"],
        spec=SPEC,
    )


def test_new_signals_start_and_known_ones_go_on() -> None:
    first, alarms = step([], ("performance", "error", 0.0))
    assert not alarms
    assert (first[0].id, first[0].version, first[0].last_window) == ("d/3/performance/error", 1, 1)
    second, _ = step(first, ("performance", "error", 0.0))
    assert (second[0].version, second[0].last_window) == (2, 2)
    assert math.isclose(math.exp(second[0].state.log_r), 2.0)


def test_signals_without_evidence_keep_their_state() -> None:
    first, _ = step([], ("performance", "error", 1.0), ("feature_drift", "a", 1.0))
    second, _ = step(first, ("performance", "error", 1.0))
    assert [one.name for one in second] == ["error"]


def test_an_alarm_names_the_strongest_signal_and_starts_its_family_anew() -> None:
    first, _ = step([], ("performance", "error", -1.0), ("performance", "loss", -1.0), ("calibration", "all", 0.0))
    changed, alarms = step(first, ("performance", "loss", 50.0))
    (alarm,) = alarms
    assert (alarm.family, alarm.names, alarm.windows) == ("performance", ("loss", "error"), 1)
    assert alarm.log_evidence >= alarm.log_threshold
    assert {one.name: (one.state, one.version) for one in changed} == {
        "loss": (SignalState(), 2),
        "error": (SignalState(), 2),
    }


def test_more_signals_need_more_evidence_from_one() -> None:
    assert step([], ("performance", "a", 9.0))[1]
    many = [("performance", name, -5.0) for name in "bcdefgh"]
    assert not step([], ("performance", "a", 9.0), *many)[1]
