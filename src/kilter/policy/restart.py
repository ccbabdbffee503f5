"""When a process that died is started again, and when its model counts as broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEALTHY_S", "delay_s", "is_broken", "patience_s"]

HEALTHY_S = 60.0
"""Time without a fall after which earlier falls are forgotten."""

_FIRST_S = 0.1
_LONGEST_S = 30.0
_JITTER = 0.2
_BROKEN_FALLS = 5
_LEAST_PATIENCE_S = 5.0
_MOST_DOUBLINGS = 20


def delay_s(falls: int, jitter: float) -> float:
    """Return how long to wait before the next start.

    Parameters
    ----------
    falls : int >= 0
        Falls before this one, since the process was last healthy for a minute.
    jitter : float in [-1, 1]
        Drawn by the caller; moves the delay by up to 20 %, so that processes do not start in step.

    Returns
    -------
    float
        0.1 s * 2^falls, at most 30 s, before the jitter.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> delay_s(0, 0.0), delay_s(3, 0.0), delay_s(50, 0.0), round(delay_s(0, -1.0), 2)
    (0.1, 0.8, 30.0, 0.08)
    """
    return float(min(_LONGEST_S, _FIRST_S * 2 ** min(falls, _MOST_DOUBLINGS)) * (1.0 + _JITTER * jitter))


def is_broken(falls_s: Sequence[float], now_s: float, *, was_broken: bool) -> bool:
    """Judge whether a model's process is beyond restarting.

    Parameters
    ----------
    falls_s : sequence of float
        Times of its falls, in order.
    now_s : float
        The time, on the same clock.
    was_broken : bool
        The judgement before; broken stays broken until a minute has passed without a fall.

    Returns
    -------
    bool
        True from the fifth fall within 60 s on.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> is_broken([0, 10, 20, 30, 40], 41, was_broken=False), is_broken([0, 10, 20, 30, 70], 71, was_broken=False)
    (True, False)
    >>> is_broken([0, 10, 20, 30, 40], 99, was_broken=True), is_broken([0, 10, 20, 30, 40], 101, was_broken=True)
    (True, False)
    """
    if was_broken and falls_s and now_s - falls_s[-1] < HEALTHY_S:
        return True
    recent = [fall for fall in falls_s if now_s - fall < HEALTHY_S]
    return len(recent) >= _BROKEN_FALLS


def patience_s(deadline_s: float) -> float:
    """Return how long after its deadline a call may keep its process busy before that is killed.

    Parameters
    ----------
    deadline_s : float >= 0
        Time that the request was given.

    Returns
    -------
    float
        Twice the deadline, at least 5 s.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> patience_s(1.0), patience_s(10.0)
    (5.0, 20.0)
    """
    return max(_LEAST_PATIENCE_S, 2.0 * deadline_s)
