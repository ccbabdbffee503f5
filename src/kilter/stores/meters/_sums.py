"""From rows of counts to metrics: what a scrape shows, what a protocol's statistics say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.meters import ANSWERED, METRICS, Statistics, Total
from kilter.stores.meters._layout import COMPUTE, LAST, OTHER, QUEUE, ROWS, SERIES, TOTAL, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilter.stores.meters._retired import Counts

__all__ = ["all_statistics", "statistics_of", "totals_of"]

_REQUESTS = "kilter_requests_total"
_HISTOGRAMS = (("kilter_request_seconds", TOTAL), ("kilter_queue_seconds", QUEUE), ("kilter_compute_seconds", COMPUTE))


def totals_of(counts: Counts) -> tuple[Total, ...]:
    """Return every metric with every set of labels that was ever counted; zeros of gauges and counters too."""
    places = {spec.name: place for place, spec in enumerate(METRICS)}
    found = [total for total in _totals(counts) if total.name in places]
    return tuple(sorted(found, key=lambda total: (places[total.name], total.labels)))


def all_statistics(counts: Counts) -> dict[tuple[str, str], Statistics]:
    """Return the totals of each deployment and version; requests without a version stand under an empty one."""
    found: dict[tuple[str, str], Statistics] = {}
    for (_, (name, *labels)), slots in counts.items():
        if name in {SERIES, _REQUESTS}:
            place = (labels[0], labels[1])
            found[place] = _plus(found.get(place, Statistics()), _one(name, slots))
    return found


def statistics_of(counts: Counts, deployment: str, version: str | None) -> Statistics:
    """Return the totals of one version, or of a whole deployment."""
    total = Statistics()
    for (named, number), one in all_statistics(counts).items():
        if named == deployment and version in {None, number}:
            total = _plus(total, one)
    return total


def _totals(counts: Counts) -> Iterator[Total]:
    """Yield metrics in any order."""
    for (_, (name, *labels)), slots in counts.items():
        if name != SERIES:
            if slots[0] or not labels or set(labels) != {OTHER}:
                yield Total(name=name, labels=tuple(labels), value=slots[0])
            continue
        answered = sum(slots[TOTAL : TOTAL + WIDTH - 1])
        if not answered:
            continue
        yield Total(name=_REQUESTS, labels=(*labels, ANSWERED), value=answered)
        yield Total(name="kilter_rows_total", labels=tuple(labels), value=slots[ROWS])
        for histogram, at in _HISTOGRAMS:
            *buckets, value = slots[at : at + WIDTH]
            yield Total(name=histogram, labels=tuple(labels), value=value, buckets=tuple(buckets))


def _one(name: str, slots: list[int]) -> Statistics:
    """Return what one row adds."""
    if name == _REQUESTS:
        return Statistics(failures=slots[0])
    return Statistics(
        requests=sum(slots[TOTAL : TOTAL + WIDTH - 1]),
        rows=slots[ROWS],
        total_ns=slots[TOTAL + WIDTH - 1],
        compute_ns=slots[COMPUTE + WIDTH - 1],
        queue_ns=slots[QUEUE + WIDTH - 1],
        last_ns=slots[LAST],
    )


def _plus(left: Statistics, right: Statistics) -> Statistics:
    """Add two totals."""
    return replace(
        left,
        requests=left.requests + right.requests,
        failures=left.failures + right.failures,
        rows=left.rows + right.rows,
        total_ns=left.total_ns + right.total_ns,
        compute_ns=left.compute_ns + right.compute_ns,
        queue_ns=left.queue_ns + right.queue_ns,
        last_ns=max(left.last_ns, right.last_ns),
    )
