"""From the evidence of one window to alarms: signals stepped, families judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kilter.contracts.monitor import Signal, SignalState
from kilter.measures.sequential import edetector
from kilter.policy.budgets import FAMILIES, log_threshold

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kilter.contracts.spec import MonitorSpec
    from kilter.measures.signals import Evidence

__all__ = ["Alarm", "advance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A family whose evidence reached its threshold. ``names`` are its signals, strongest first.

    ``windows`` is the number of tested windows, this one included, since the change probably began.
    """

    family: str
    log_evidence: float
    log_threshold: float
    names: tuple[str, ...]
    windows: int


def advance(
    signals: Mapping[tuple[str, str], Signal],
    evidence: Sequence[Evidence],
    *,
    deployment: str,
    number: int,
    present: Collection[str],
    spec: MonitorSpec,
) -> tuple[tuple[Signal, ...], tuple[Alarm, ...]]:
    """Step the detectors of the signals that could be tested, and judge their families.

    Parameters
    ----------
    signals : mapping of (family, name) to Signal
        State before the window.
    evidence : sequence of Evidence
        What could be tested in this window; other signals keep their state.
    deployment : str
        Of the window.
    number : int
        Version that answered; another version has other signals.
    present : collection of str
        Families that can be tested for this version (they share the budget).
    spec : MonitorSpec
        Budgets and window.

    Returns
    -------
    tuple of Signal
        The changed ones: new with ``version`` 1, known ones with the next ``version``. The detectors of a family that
        alarmed start anew.
    tuple of Alarm
        At most one per family.

    Raises
    ------
    InvalidRequest
        If an e-value is NaN.

    Notes
    -----
    Weights are equal over all signals of a family seen so far: one that cannot be tested now still has its share.
    """
    after = dict(signals)
    for one in evidence:
        key = (one.family, one.name)
        known = signals.get(key)
        state = edetector.step(known.state if known else SignalState(), one.log_e)
        after[key] = Signal(
            id=f"{deployment}/{number}/{one.family}/{one.name}",
            deployment=deployment,
            number=number,
            family=one.family,
            name=one.name,
            state=state,
            log_e=one.log_e,
            last_window=(known.last_window if known else 0) + 1,
            version=known.version + 1 if known else 1,
        )
    alarms = []
    touched = {one.family for one in evidence}
    for family in FAMILIES:
        members = {key: signal for key, signal in after.items() if key[0] == family}
        if family not in touched:
            continue
        limit = log_threshold(family, present, spec)
        total = edetector.family([signal.state for signal in members.values()])
        if total < limit:
            continue
        ranked = sorted(members.values(), key=lambda signal: (-signal.state.log_r, signal.name))
        alarms.append(
            Alarm(
                family=family,
                log_evidence=total,
                log_threshold=limit,
                names=tuple(signal.name for signal in ranked),
                windows=edetector.change_point(ranked[0].state),
            )
        )
        for key, signal in members.items():
            version = signal.version if signal is not signals.get(key) else signal.version + 1
            after[key] = replace(signal, state=SignalState(), version=version)
    changed = tuple(signal for key, signal in after.items() if signal is not signals.get(key))
    return changed, tuple(alarms)
