"""The ports through which a serving process counts what it does, with the table of all that is counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ANSWERED",
    "BOUNDS_NS",
    "METRICS",
    "MeterKind",
    "MeterReader",
    "Meters",
    "MetricSpec",
    "Series",
    "Slot",
    "Statistics",
    "Total",
]

ANSWERED = "ok"
"""What stands in ``code`` of requests that were answered; an error's own code otherwise."""

_US, _MS, _S = 1_000, 1_000_000, 1_000_000_000

BOUNDS_NS: tuple[int, ...] = (
    *(50 * _US, 85 * _US, 140 * _US, 250 * _US, 420 * _US, 710 * _US),
    *(1_200 * _US, 2_100 * _US, 3_500 * _US, 5_900 * _US),
    *(10 * _MS, 17 * _MS, 29 * _MS, 50 * _MS, 84 * _MS, 140 * _MS, 240 * _MS, 410 * _MS, 700 * _MS),
    *(1_200 * _MS, 2 * _S, 3_500 * _MS, 5_900 * _MS, 10 * _S),
)
"""Upper bounds of the buckets of every duration, about 1.7 times the one before; one more bucket holds the rest."""


class MeterKind(StrEnum):
    """How values of several processes become one; gauges die with their process, the others never shrink."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE_SUM = "gauge, summed"
    GAUGE_MAX = "gauge, largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One public metric. ``unit`` is ``seconds`` (kept in nanoseconds), ``bytes`` or empty."""

    name: str
    kind: MeterKind
    about: str
    labels: tuple[str, ...] = ()
    unit: str = ""


_SERIES = ("deployment", "version", "arm", "face")

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="kilter_requests_total",
        kind=MeterKind.COUNTER,
        about="Requests by how they ended: ok, or the code of the error.",
        labels=(*_SERIES, "code"),
    ),
    MetricSpec(
        name="kilter_rows_total",
        kind=MeterKind.COUNTER,
        about="Rows of answered requests.",
        labels=_SERIES,
    ),
    MetricSpec(
        name="kilter_request_seconds",
        kind=MeterKind.HISTOGRAM,
        about="Time from the arrival of a whole request to its record, answered requests only.",
        labels=_SERIES,
        unit="seconds",
    ),
    MetricSpec(
        name="kilter_queue_seconds",
        kind=MeterKind.HISTOGRAM,
        about="Part of it spent waiting for a thread or a worker.",
        labels=_SERIES,
        unit="seconds",
    ),
    MetricSpec(
        name="kilter_compute_seconds",
        kind=MeterKind.HISTOGRAM,
        about="Part of it spent in the model and its calibration.",
        labels=_SERIES,
        unit="seconds",
    ),
    MetricSpec(
        name="kilter_shed_total",
        kind=MeterKind.COUNTER,
        about="Requests refused with 429 because of overload.",
        labels=("deployment", "face"),
    ),
    MetricSpec(
        name="kilter_shadow_dropped_total",
        kind=MeterKind.COUNTER,
        about="Shadow copies that did not fit into their queue.",
        labels=("deployment",),
    ),
    MetricSpec(
        name="kilter_log_lag_bytes",
        kind=MeterKind.GAUGE_SUM,
        about="Bytes of records that are not on the device yet.",
        unit="bytes",
    ),
    MetricSpec(
        name="kilter_log_dropped_total",
        kind=MeterKind.COUNTER,
        about="Records that the log could not take, where the deployment says count instead of fail.",
    ),
    MetricSpec(
        name="kilter_route_generation",
        kind=MeterKind.GAUGE_MAX,
        about="Generation of the route table in force.",
    ),
    MetricSpec(
        name="kilter_worker_restarts_total",
        kind=MeterKind.COUNTER,
        about="Processes started again after they died: isolated workers by version, serving processes without one.",
        labels=("deployment", "version"),
    ),
    MetricSpec(
        name="kilter_quarantined_total",
        kind=MeterKind.COUNTER,
        about="Inputs that ended the process of their model twice and are kept out.",
        labels=("deployment", "version"),
    ),
    MetricSpec(
        name="kilter_unseen_category_total",
        kind=MeterKind.COUNTER,
        about="Answered requests with a category that the training data did not hold.",
        labels=("deployment", "version"),
    ),
    MetricSpec(
        name="kilter_fast_path",
        kind=MeterKind.GAUGE_MAX,
        about="1 while requests are answered inside the HTTP parser, 0 on the plain path.",
    ),
    MetricSpec(
        name="kilter_loop_lag_seconds",
        kind=MeterKind.GAUGE_MAX,
        about="Longest delay of an event loop over the last ten seconds.",
        unit="seconds",
    ),
    MetricSpec(
        name="kilter_build_info",
        kind=MeterKind.GAUGE_MAX,
        about="The version of kilter that serves.",
        labels=("version",),
    ),
)
"""All metrics; names and labels change only with a deprecation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """One metric with one set of labels, over all processes.

    ``labels`` are values in the order of the metric's names. ``value`` is the count, the gauge, or a
    histogram's sum, seconds as nanoseconds; ``buckets`` are a histogram's own counts, not cumulative.
    """

    name: str
    labels: tuple[str, ...]
    value: int
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Totals of one version, or of a whole deployment.

    ``requests`` were answered, ``failures`` were not; ``last_ns`` is the time of the last answer since
    the epoch, 0 if there was none.
    """

    requests: int = 0
    failures: int = 0
    rows: int = 0
    total_ns: int = 0
    compute_ns: int = 0
    queue_ns: int = 0
    last_ns: int = 0


class Series(Protocol):
    """Counts the requests of one deployment, version, arm and face.

    Guarantees: one thread counts; a count survives ``kill -9`` of the process once the call returned.
    """

    def answered(self, rows: int, total_ns: int, compute_ns: int, queue_ns: int = 0) -> None:
        """Count one answered request; durations are not negative.

        Raises
        ------
        ValueError
            Never for durations that ``time.perf_counter_ns`` can measure.
        """
        ...

    def failed(self, code: str) -> None:
        """Count one request that ended with an error's code.

        Raises
        ------
        ValueError
            Never below 2**64 requests.
        """
        ...


class Slot(Protocol):
    """One counter or gauge with its labels.

    Guarantees: those of ``Series``.
    """

    def add(self, count: int = 1) -> None:
        """Add to it.

        Raises
        ------
        ValueError
            If it would become negative.
        """
        ...

    def set(self, value: int) -> None:
        """Give a gauge its value, or a counter what this process has counted elsewhere.

        Raises
        ------
        ValueError
            If it is negative.
        """
        ...


class Meters(Protocol):
    """Where one process counts.

    Guarantees: asking twice for the same labels gives the same counter; asking never fails for lack
    of room: what does not fit is counted under labels of ``other``. Labels are names of what is
    loaded, never bytes of a client's choice.
    """

    def series(self, deployment: str, version: str, arm: str, face: str) -> Series:
        """Return the counters of requests; to be asked once and kept.

        Raises
        ------
        ValueError
            Never.
        """
        ...

    def slot(self, name: str, *labels: str) -> Slot:
        """Return a counter or gauge of ``METRICS``; to be asked once and kept.

        Raises
        ------
        ValueError
            If there is no such counter or gauge, or it has another number of labels.
        """
        ...


class MeterReader(Protocol):
    """Sums what all processes of a node count, those included that are gone.

    Guarantees: counters never go backwards, whenever a process dies.
    """

    def totals(self) -> tuple[Total, ...]:
        """Return everything that was ever counted, by metric in the order of ``METRICS``, then by labels.

        Raises
        ------
        StoreError
            If the files of other processes cannot be read.
        """
        ...

    def statistics(self, deployment: str, version: str | None = None) -> Statistics:
        """Return the totals of a deployment, or of one version.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        ...

    def all_statistics(self) -> Mapping[tuple[str, str], Statistics]:
        """Return the totals by deployment and version, read once.

        Raises
        ------
        StoreError
            As ``totals``.
        """
        ...
