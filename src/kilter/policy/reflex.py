"""When a candidate is taken off the traffic at once, without asking whoever judges it.

The reflex sees counters alone: whether requests fail, and how long they take. Whether answers are
right is the business of the judge; this is for the candidate that is plainly broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.contracts.meters import BOUNDS_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ArmCounts", "breach", "recent"]

WINDOW = 50
"""Requests of the candidate that are looked at."""
ERROR_SHARE = 0.40
SLOWER = 5
LATENCY_REQUESTS = 200
"""Answers of each arm below which a 99th percentile is chance."""
_FLOOR_NS = 10_000_000
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """What the requests of one arm came to, from the beginning or over a time.

    ``buckets`` counts the answered requests by duration, one per bound of ``BOUNDS_NS`` and one for
    the rest.
    """

    failures: int = 0
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS_NS) + 1)

    @property
    def answered(self) -> int:
        """Requests that were answered."""
        return sum(self.buckets)

    @property
    def requests(self) -> int:
        """All requests."""
        return self.answered + self.failures


def recent(history: Sequence[tuple[ArmCounts, ArmCounts]], requests: int) -> tuple[ArmCounts, ArmCounts]:
    """Counts of both arms over the shortest latest time in which the candidate had enough requests.

    In plain words: how it went lately.

    Parameters
    ----------
    history : sequence of (candidate, champion)
        Counts from the beginning, oldest first; not empty.
    requests : int
        How many the candidate must have had; the whole history where it had fewer.

    Returns
    -------
    tuple of ArmCounts
        Candidate and champion.

    Raises
    ------
    IndexError
        If the history is empty.

    Notes
    -----
    O(length of the history).

    References
    ----------
    None; a difference of counters.

    Examples
    --------
    >>> long_ago, now = ArmCounts(failures=3), ArmCounts(failures=60)
    >>> recent([(long_ago, long_ago), (now, now)], 50)[0].failures
    57
    """
    last = history[-1]
    then = next(
        (past for past in reversed(history) if last[0].requests - past[0].requests >= requests),
        history[0],
    )
    return _since(last[0], then[0]), _since(last[1], then[1])


def breach(candidate: ArmCounts, champion: ArmCounts) -> str | None:
    """The reason why the candidate must go, or None.

    In plain words: is it plainly broken?

    Parameters
    ----------
    candidate, champion : ArmCounts
        Over the same time.

    Returns
    -------
    str or None
        A sentence with the counts.

    Raises
    ------
    Nothing

    Notes
    -----
    Errors: more than 40 % of at least 50 requests. A candidate that fails on 20 % of requests, which is
    for the judge, exceeds that in 50 with probability 0.0003. Latency: the least value that the
    candidate's 99th percentile can have in its bucket is above 5 times the greatest that the champion's
    can have, and above 50 ms, with at least 200 answers on both sides.

    References
    ----------
    None; a convention, in the place of a service-level objective that nobody stated.

    Examples
    --------
    >>> breach(ArmCounts(failures=50), ArmCounts())
    '50 of the last 50 requests failed'
    >>> breach(ArmCounts(failures=49), ArmCounts()) is None
    True
    """
    requests = candidate.requests
    if requests >= WINDOW and candidate.failures > ERROR_SHARE * requests:
        return f"{candidate.failures} of the last {requests} requests failed"
    if min(candidate.answered, champion.answered) < LATENCY_REQUESTS:
        return None
    least_ns = (0, *BOUNDS_NS)[_percentile_99(candidate.buckets)]
    usual_ns = (*BOUNDS_NS, BOUNDS_NS[-1])[_percentile_99(champion.buckets)]
    if least_ns > SLOWER * max(usual_ns, _FLOOR_NS):
        slow, usual = least_ns / _NS_PER_MS, usual_ns / _NS_PER_MS
        return f"one request in 100 takes more than {slow:g} ms; the champion's take {usual:g} ms at most"
    return None


def _since(last: ArmCounts, then: ArmCounts) -> ArmCounts:
    """Return what was counted in between."""
    buckets = tuple(now - before for now, before in zip(last.buckets, then.buckets, strict=True))
    return ArmCounts(failures=last.failures - then.failures, buckets=buckets)


def _percentile_99(buckets: Sequence[int]) -> int:
    """Return the position of the bucket that holds the 99th percentile."""
    rest = sum(buckets) // 100
    position = len(buckets) - 1
    while position > 0 and buckets[position] <= rest:
        rest -= buckets[position]
        position -= 1
    return position
