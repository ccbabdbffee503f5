"""Detectors that add up e-values over time (Shiryaev-Roberts), with a bound on false alarms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilter.contracts.monitor import SignalState
from kilter.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["change_point", "family", "step"]

_CAP = 690.7755278982137  # ln(1e300)


def step(state: SignalState, log_e: float) -> SignalState:
    """Take one window's evidence into a detector.

    In plain words: adds one more window to what speaks against this signal.

    Parameters
    ----------
    state : SignalState
        Before the window; ``SignalState()`` at the start and after an alarm.
    log_e : float
        Natural logarithm of the window's e-value. A window without rows must not be stepped: its e-value of 1 would
        raise the statistic.

    Returns
    -------
    SignalState
        After the window.

    Raises
    ------
    InvalidRequest
        If ``log_e`` is NaN.

    Notes
    -----
    R_t = (1 + R_{t-1}) E_t with R_0 = 0, in logs; R_t - t is a supermartingale while the null holds, so the mean time
    to R >= A is at least A windows. E-values are capped at 1e300. The running sum of log E and its minimum give the
    change point. O(1).

    References
    ----------
    Shin, Ramdas, Rinaldo (2023), E-detectors, arXiv 2203.03532.

    Examples
    --------
    >>> state = step(step(SignalState(), 0.0), 0.0)
    >>> round(math.exp(state.log_r), 9), state.windows
    (2.0, 2)
    """
    if math.isnan(log_e):
        msg = "an e-value is a number, got NaN"
        raise InvalidRequest(msg, hint="leave out windows without evidence")
    gain = min(log_e, _CAP)
    is_new_low = state.log_sum < state.log_sum_min
    before = state.log_r
    log_one_plus = math.log1p(math.exp(before)) if before < 30 else before
    return SignalState(
        log_r=min(_CAP, log_one_plus + gain),
        log_sum=state.log_sum + gain,
        log_sum_min=state.log_sum if is_new_low else state.log_sum_min,
        min_at=state.windows if is_new_low else state.min_at,
        windows=state.windows + 1,
    )


def family(states: Sequence[SignalState], weights: Sequence[float] | None = None) -> float:
    """Combine the detectors of a family into one statistic.

    In plain words: one number for many signals, so that watching more of them raises no more false alarms.

    Parameters
    ----------
    states : sequence of SignalState
        One per signal.
    weights : sequence of float >= 0, summing to 1, or None
        None: equal.

    Returns
    -------
    float
        log of sum w_k R_k; minus infinity for no signal.

    Raises
    ------
    InvalidRequest
        If there is not one weight per signal.

    Notes
    -----
    An average of R_k keeps the bound on false alarms under any dependence of the signals; a maximum does not.
    Alarm when it reaches log A. O(K).

    References
    ----------
    Shin, Ramdas, Rinaldo (2023), arXiv 2203.03532. On maxima: arXiv 2501.19360.

    Examples
    --------
    >>> one = SignalState(log_r=math.log(4.0))
    >>> round(math.exp(family([one, SignalState()])), 9)
    2.0
    """
    shares = [1 / len(states)] * len(states) if weights is None else [*weights]
    if len(shares) != len(states):
        msg = f"{len(states)} signals need as many weights, got {len(shares)}"
        raise InvalidRequest(msg)
    terms = [
        math.log(share) + state.log_r
        for share, state in zip(shares, states, strict=True)
        if share > 0 and state.log_r > -math.inf
    ]
    top = max(terms, default=-math.inf)
    return top if top == -math.inf else top + math.log(sum(math.exp(term - top) for term in terms))


def change_point(state: SignalState) -> int:
    """Return how many of the last windows the evidence speaks of.

    In plain words: for how many windows this has probably been going on.

    Parameters
    ----------
    state : SignalState
        A detector that has seen windows.

    Returns
    -------
    int >= 0
        Windows since the likeliest start of the change, the last one included.

    Raises
    ------
    Nothing
        Any state will do.

    Notes
    -----
    The start is the window after the minimum of the running sum of log E: the term of the Shiryaev-Roberts sum that
    grew most. O(1).

    References
    ----------
    Shin, Ramdas, Rinaldo (2023), arXiv 2203.03532.

    Examples
    --------
    >>> state = SignalState()
    >>> for log_e in (-0.1, -0.1, 2.0, 2.0):
    ...     state = step(state, log_e)
    >>> change_point(state)
    2
    """
    return state.windows - state.min_at
