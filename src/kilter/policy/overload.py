"""When work is refused at once: more waits than can be done in time, or the event loop falls behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kilter.errors import Overloaded

__all__ = [
    "LAG_S",
    "QUEUE_BYTES",
    "QUEUE_ROWS",
    "WINDOW_S",
    "Waiting",
    "best_goodput",
    "next_share",
    "refusal",
    "remainder_s",
    "retry_after_s",
    "spread",
    "wait_s",
]

QUEUE_ROWS = 4_096
"""Most rows that wait for one version."""

QUEUE_BYTES = 256 * 2**20
"""Most bytes that wait for one version."""

LAG_S = 0.05
"""Least lag of the event loop over a window that counts as overload."""

WINDOW_S = 0.1
"""Length of a window: one judgement of the lag."""

_STEP = 0.1
_LEAST_SHARE = 0.01
_GONE_S = LAG_S / 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is ahead of a new request: rows, bytes and predicted seconds that wait, and the rest of what runs."""

    rows: int = 0
    size_bytes: int = 0
    work_s: float = 0.0
    running_s: float = 0.0
    workers: int = 1


def remainder_s(predicted_s: float, elapsed_s: float) -> float:
    """Return how much longer a running call is expected to take.

    Parameters
    ----------
    predicted_s : float >= 0
        What such calls take.
    elapsed_s : float >= 0
        How long it has been running.

    Returns
    -------
    float >= 0
        What is left; of a call that is overdue, as long again as it is overdue: what hangs is not believed
        to end in the next moment.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> remainder_s(2.0, 0.5), remainder_s(2.0, 5.0)
    (1.5, 3.0)
    """
    return abs(predicted_s - elapsed_s)


def wait_s(ahead: Waiting) -> float:
    """Return the predicted wait: queued cost / workers + remainder of the running batch.

    Parameters
    ----------
    ahead : Waiting
        What is ahead.

    Returns
    -------
    float >= 0

    Raises
    ------
    Nothing

    Examples
    --------
    >>> wait_s(Waiting(rows=10, work_s=0.4, running_s=0.1, workers=2))
    0.30000000000000004
    """
    return ahead.work_s / ahead.workers + ahead.running_s


def retry_after_s(seconds: float) -> int:
    """Return whole seconds for ``Retry-After``, at least one.

    Parameters
    ----------
    seconds : float
        The predicted wait.

    Returns
    -------
    int >= 1

    Raises
    ------
    Nothing

    Examples
    --------
    >>> retry_after_s(0.2), retry_after_s(1.01)
    (1, 2)
    """
    return max(1, math.ceil(seconds))


def refusal(ahead: Waiting, *, rows: int, size_bytes: int, cost_s: float, slack_s: float) -> Overloaded | None:
    """Judge whether a request may wait.

    Parameters
    ----------
    ahead : Waiting
        What is ahead of it.
    rows, size_bytes : int
        Of the request.
    cost_s : float
        What the request itself is predicted to take.
    slack_s : float
        Time until its deadline.

    Returns
    -------
    Overloaded or None
        None lets it wait. Where nothing is ahead it always is: a prediction that turned out too high could not be
        corrected by any call otherwise.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> refusal(Waiting(rows=3, work_s=0.2), rows=1, size_bytes=80, cost_s=0.01, slack_s=1.0) is None
    True
    >>> refusal(Waiting(rows=3, work_s=2.2), rows=1, size_bytes=80, cost_s=0.01, slack_s=1.0).retry_after_s
    3
    """
    wait = wait_s(ahead)
    if not ahead.rows and not wait:
        return None
    if ahead.rows + rows > QUEUE_ROWS or ahead.size_bytes + size_bytes > QUEUE_BYTES:
        message = f"{ahead.rows} rows wait for this version; the limit is {QUEUE_ROWS} rows or {QUEUE_BYTES >> 20} MiB"
    elif wait + cost_s > slack_s:
        left_s = max(slack_s, 0.0)
        message = f"a wait of about {wait:.2f} s and a run of {cost_s:.2f} s do not fit into the {left_s:.2f} s left"
    else:
        return None
    return Overloaded(
        message,
        retry_after_s=retry_after_s(wait),
        hint="send the request again after `Retry-After` seconds, or add `workers` under [serving]",
    )


def next_share(share: float, lag_s: float) -> float:
    """Return the share of requests to refuse after one more window.

    Parameters
    ----------
    share : float in [0, 1]
        Of the window that ended.
    lag_s : float >= 0
        Least lag of the event loop in it: a single slow request moves the mean, not the minimum.

    Returns
    -------
    float in [0, 1]
        0.1 more while the lag is above 50 ms, half of it when the lag is gone (below 25 ms); below 0.01 none.

    Raises
    ------
    Nothing

    Notes
    -----
    Simulated with 230 us a request and refusals of a fiftieth to a fifth of that, 1.5 to 4 times the capacity are
    answered with 0.96 of ``best_goodput`` or more; without the band between 25 and 50 ms 0.73 of it at worst.

    References
    ----------
    Chiu, Jain (1989), Computer Networks 17(1), doi:10.1016/0169-7552(89)90019-6, on additive increase and
    multiplicative decrease. Nichols, Jacobson (2012), ACM Queue 10(5), doi:10.1145/2208917.2209336, on the minimum
    as the signal of a standing queue.

    Examples
    --------
    >>> next_share(0.2, 0.08), next_share(0.2, 0.001), next_share(0.015, 0.001)
    (0.30000000000000004, 0.1, 0.0)
    """
    if lag_s > LAG_S:
        return min(1.0, share + _STEP)
    if lag_s >= _GONE_S:
        return share
    return share / 2 if share / 2 >= _LEAST_SHARE else 0.0


def spread(credit: float, share: float) -> tuple[bool, float]:
    """Choose evenly which requests are refused.

    Parameters
    ----------
    credit : float in [0, 1)
        What the call before returned; 0 at the start.
    share : float in [0, 1]
        Share to refuse.

    Returns
    -------
    tuple of bool and float
        Whether this one is refused, and the credit for the next. Of n requests, n * share are refused, rounded.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> credit, refused = 0.0, []
    >>> for _ in range(5):
    ...     is_refused, credit = spread(credit, 0.4)
    ...     refused.append(is_refused)
    >>> refused
    [False, False, True, False, True]
    """
    total = credit + share
    return (True, total - 1.0) if total >= 1.0 else (False, total)


def best_goodput(load: float, refusal_cost: float) -> float:
    """Return the most that can be answered under overload, as a share of capacity.

    Parameters
    ----------
    load : float >= 0
        Arrivals per second over capacity.
    refusal_cost : float in [0, 1)
        Cost of a refusal over that of an answer.

    Returns
    -------
    float in [0, 1]
        min(1, (1 - load * refusal_cost) / (1 - refusal_cost)), at least 0; below capacity it is not reached
        for want of requests.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> round(best_goodput(3.0, 12 / 57), 2), best_goodput(0.5, 0.2), best_goodput(9.0, 0.2)
    (0.47, 1.0, 0.0)
    """
    return min(1.0, max(0.0, (1.0 - load * refusal_cost) / (1.0 - refusal_cost)))
