"""How many rows a model takes at once: a cost of calls learned from calls, and a time that none may exceed.

A call of b rows costs a + c * b seconds, a and c >= 0. Old calls are forgotten by halves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "HALF_LIFE",
    "LONGEST_S",
    "CostFit",
    "cost_s",
    "fitted",
    "is_hopeless",
    "largest_rows",
    "observed",
    "own_s",
    "paced",
    "taken",
    "work_s",
]

HALF_LIFE = 200
"""Calls after which an observation weighs half."""

LONGEST_S = 0.05
"""Longest time that one batch may be predicted to take, unless even an empty call takes half of it."""

_DECAY: float = 0.5 ** (1 / HALF_LIFE)
_SPREAD = 1e-6
_PACE_WEIGHT = 0.2
_PACES = (0.25, 16.0)


@dataclass(frozen=True, slots=True)
class CostFit:
    """Weighted sums over observed calls: of 1, rows, rows squared, seconds, and rows times seconds."""

    weight: float = 0.0
    rows: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0
    products: float = 0.0


def observed(fit: CostFit, rows: int, seconds: float) -> CostFit:
    """Return the fit after one more call.

    Parameters
    ----------
    fit : CostFit
        So far.
    rows : int >= 1
        Rows of the call.
    seconds : float >= 0
        What it took.

    Returns
    -------
    CostFit
        All earlier calls weigh 2^(-1/200) of what they weighed.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> fit = observed(CostFit(), 1, 0.002)
    >>> cost_s(fit, 1)
    0.002
    """
    return CostFit(
        fit.weight * _DECAY + 1.0,
        fit.rows * _DECAY + rows,
        fit.squares * _DECAY + rows * rows,
        fit.seconds * _DECAY + seconds,
        fit.products * _DECAY + rows * seconds,
    )


def fitted(fit: CostFit) -> tuple[float, float]:
    """Return a and c, in seconds and seconds per row.

    Parameters
    ----------
    fit : CostFit
        Observed calls.

    Returns
    -------
    tuple of two floats >= 0
        (0, 0) before the first call. Where all calls had the same size nothing tells a from c; all of it
        is then taken to grow with the rows, so that batches grow by steps and not at one leap.

    Raises
    ------
    Nothing

    Notes
    -----
    Weighted least squares with both coefficients held at zero or above: the line through the mean, else the
    better of the two lines on the border.

    References
    ----------
    Lawson, Hanson (1974), Solving Least Squares Problems, chapter 23 (non-negative least squares).

    Examples
    --------
    >>> fit = CostFit()
    >>> for rows in (1, 64, 1, 64):
    ...     fit = observed(fit, rows, 0.002 + 0.0001 * rows)
    >>> [round(value, 6) for value in fitted(fit)]
    [0.002, 0.0001]
    """
    if fit.weight == 0.0:
        return 0.0, 0.0
    through_origin = fit.products / fit.squares
    spread = fit.weight * fit.squares - fit.rows * fit.rows
    if spread <= _SPREAD * fit.weight * fit.squares:
        return 0.0, through_origin
    slope = (fit.weight * fit.products - fit.rows * fit.seconds) / spread
    if slope <= 0.0:
        return fit.seconds / fit.weight, 0.0
    start = (fit.seconds - slope * fit.rows) / fit.weight
    return (start, slope) if start >= 0.0 else (0.0, through_origin)


def cost_s(fit: CostFit, rows: int) -> float:
    """Return the predicted seconds of one call.

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    rows : int >= 1
        Rows of the call.

    Returns
    -------
    float >= 0
        0 before the first call.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> cost_s(observed(CostFit(), 2, 0.004), 3)
    0.006
    """
    start, slope = fitted(fit)
    return start + slope * rows


def largest_rows(fit: CostFit, slack_s: float, cap: int) -> int:
    """Return the most rows of a batch: the largest b with a + c * b <= min(max(50 ms, 2 a), half the slack).

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    slack_s : float
        Time until the tightest deadline in the batch.
    cap : int >= 1
        The deployment's ``max_batch_rows``.

    Returns
    -------
    int from 1 to ``cap``
        One row is always legal.

    Raises
    ------
    Nothing

    Notes
    -----
    Where a call costs more than 25 ms whatever its rows, 50 ms would leave room for next to none: a machine that is
    suddenly shared would turn batches into single rows, and lose most of its throughput just then. A batch may
    therefore take up to twice what such a call costs empty.

    Examples
    --------
    >>> fit = CostFit()
    >>> for rows in (1, 64, 1, 64):
    ...     fit = observed(fit, rows, 0.002 + 0.0001 * rows)
    >>> largest_rows(fit, 1.0, 1_000), largest_rows(fit, 0.01, 1_000), largest_rows(fit, 1.0, 100)
    (480, 30, 100)
    """
    start, slope = fitted(fit)
    room_s = min(max(LONGEST_S, 2.0 * start), slack_s / 2) - start
    if room_s <= 0.0:
        return 1
    if slope * cap <= room_s:
        return cap
    return max(1, math.floor(room_s / slope + 1e-9))


def own_s(fit: CostFit, rows: int, slack_s: float, cap: int) -> float:
    """Return the time that a request needs once its turn comes, with the batch that it will be part of.

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    rows : int >= 1
        Of the request.
    slack_s : float
        Time until its deadline.
    cap : int >= 1
        Most rows of a batch.

    Returns
    -------
    float >= 0
        Twice the time of a full batch, so that it need not be made smaller for this request's sake, but at most half
        of the slack; never less than the request takes alone.

    Raises
    ------
    Nothing

    Notes
    -----
    Without this room a full queue hands out requests whose deadline is near, each bounds its batch to a row, and
    throughput collapses just when it is needed.

    Examples
    --------
    >>> fit = observed(CostFit(), 1, 0.01)
    >>> own_s(fit, 1, 1.0, 1_000), own_s(fit, 1, 0.06, 1_000), own_s(fit, 3, 0.01, 1_000)
    (0.1, 0.03, 0.03)
    """
    full_s = cost_s(fit, largest_rows(fit, math.inf, cap))
    return max(cost_s(fit, rows), min(2.0 * full_s, slack_s / 2))


def is_hopeless(fit: CostFit, rows: int, slack_s: float, waiting: int, cap: int) -> bool:
    """Say whether to run a request would only harm those behind it.

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    rows : int >= 1
        Of the request that waits longest.
    slack_s : float
        Time until its deadline.
    waiting : int >= 0
        Rows behind it.
    cap : int >= 1
        Most rows of a batch.

    Returns
    -------
    bool
        True if others wait and it cannot be done in time; where more than a full batch waits, if it would make the
        next batch smaller than that.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> fit = observed(CostFit(), 1, 0.01)
    >>> [is_hopeless(fit, 1, 0.02, waiting, 1_000) for waiting in (0, 1, 100)], is_hopeless(fit, 1, 0.005, 1, 1_000)
    ([False, False, True], True)
    """
    if not waiting:
        return False
    full = largest_rows(fit, math.inf, cap)
    if waiting >= full:
        return slack_s < max(cost_s(fit, rows), 2.0 * cost_s(fit, full))
    return slack_s < cost_s(fit, rows)


def paced(pace: float, predicted_s: float, actual_s: float) -> float:
    """Return how much slower calls are now than predicted, after one more.

    Parameters
    ----------
    pace : float > 0
        So far; 1 at the start.
    predicted_s, actual_s : float >= 0
        Of the call.

    Returns
    -------
    float in [0.25, 16]
        A mean that forgets most within ten calls: when the machine is suddenly shared, the fit would need hundreds.

    Raises
    ------
    Nothing

    Examples
    --------
    >>> paced(1.0, 0.01, 0.02), paced(1.0, 0.0, 0.02), paced(1.0, 1e-9, 9.0)
    (1.2, 1.0, 4.0)
    """
    if predicted_s <= 0.0:
        return pace
    ratio = min(_PACES[1], max(_PACES[0], actual_s / predicted_s))
    return pace + _PACE_WEIGHT * (ratio - pace)


def taken(fit: CostFit, requests: Iterable[tuple[int, float]], cap: int) -> int:
    """Return how many of the requests that wait longest go into the next batch.

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    requests : iterable of (rows, slack_s)
        In the order of their arrival; read only as far as needed.
    cap : int >= 1
        Most rows of a batch.

    Returns
    -------
    int
        0 if none waits, else at least 1: the first goes alone where it is larger than any batch may be.

    Raises
    ------
    Nothing

    Notes
    -----
    The tightest deadline of those taken bounds the whole batch, so a request in a hurry is not kept by others.

    Examples
    --------
    >>> fit = observed(CostFit(), 1, 0.01)
    >>> taken(fit, [(1, 1.0)] * 9, 1_000), taken(fit, [(1, 1.0), (1, 0.03)], 1_000)
    (5, 1)
    """
    count, rows, slack_s = 0, 0, math.inf
    for further, its_slack_s in requests:
        rows += further
        slack_s = min(slack_s, its_slack_s)
        if count and rows > largest_rows(fit, slack_s, cap):
            break
        count += 1
    return count


def work_s(fit: CostFit, sizes: Sequence[int], cap: int) -> float:
    """Return the predicted seconds of work that wait: all rows, in batches as large as they may be.

    Parameters
    ----------
    fit : CostFit
        Observed calls.
    sizes : sequence of two ints
        Requests and rows that wait.
    cap : int >= 1
        Most rows of a batch.

    Returns
    -------
    float >= 0

    Raises
    ------
    Nothing

    Examples
    --------
    >>> fit = CostFit()
    >>> for rows in (1, 64, 1, 64):
    ...     fit = observed(fit, rows, 0.002 + 0.0001 * rows)
    >>> round(work_s(fit, (100, 100), 50), 4), work_s(fit, (0, 0), 50)
    (0.014, 0.0)
    """
    requests, rows = sizes
    if not requests:
        return 0.0
    start, slope = fitted(fit)
    batches = min(requests, math.ceil(rows / largest_rows(fit, math.inf, cap)))
    return batches * start + slope * rows
