"""Totals as text: the Prometheus format 0.0.4, or OpenMetrics 1.0."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

from kilter.contracts.meters import BOUNDS_NS, METRICS, MeterKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilter.contracts.meters import MetricSpec, Total

__all__ = ["OPEN_METRICS", "PROMETHEUS", "Form", "exposition", "form_for"]

_NS_PER_S = 1_000_000_000


class Form(NamedTuple):
    """One of the two formats."""

    content_type: bytes
    is_open: bool


PROMETHEUS = Form(b"text/plain; version=0.0.4; charset=utf-8", is_open=False)
OPEN_METRICS = Form(b"application/openmetrics-text; version=1.0.0; charset=utf-8", is_open=True)

_BOUNDS = (*(str(bound / _NS_PER_S) for bound in BOUNDS_NS), "+Inf")


def form_for(accept: bytes) -> Form:
    """Choose the format that a client prefers, by its ``accept`` header; Prometheus text if it names neither."""
    best, chosen = 0.0, PROMETHEUS
    for offer in accept.decode("latin-1").lower().split(","):
        media, *further = (part.strip() for part in offer.split(";"))
        facts = dict(part.replace(" ", "").partition("=")[::2] for part in further)
        form = {
            "application/openmetrics-text": OPEN_METRICS,
            "text/plain": PROMETHEUS,
            "text/*": PROMETHEUS,
            "*/*": PROMETHEUS,
        }.get(media)
        spoken = {"1.0.0", "0.0.1"} if form is OPEN_METRICS else {"0.0.4", "1.0.0"}
        if form is None or facts.get("version", "").strip('"') not in {"", *spoken}:
            continue
        weight = _weight(facts.get("q", "1"))
        if weight > best:
            best, chosen = weight, form
    return chosen


def exposition(totals: Sequence[Total], form: Form) -> bytes:
    """Write totals down, all metrics with their help even if nothing was counted yet.

    Parameters
    ----------
    totals : sequence of Total
        Sorted by metric, in the order of ``METRICS``.
    form : Form
        The format.
    """
    by_name = {name: list(group) for name, group in groupby(totals, key=lambda total: total.name)}
    lines: list[str] = []
    for spec in METRICS:
        lines += _about(spec, form)
        for total in by_name.get(spec.name, ()):
            lines += _samples(spec, total)
    if form.is_open:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _about(spec: MetricSpec, form: Form) -> Iterator[str]:
    """Yield the lines above a metric's samples."""
    name, kind = spec.name, _KINDS[spec.kind]
    if form.is_open:
        name = name.removesuffix("_total").removesuffix("_info")
        kind = "info" if spec.name.endswith("_info") else kind
    yield f"# HELP {name} {_escaped(spec.about) if form.is_open else _without_breaks(spec.about)}"
    yield f"# TYPE {name} {kind}"
    if form.is_open and spec.unit:
        yield f"# UNIT {name} {spec.unit}"


def _samples(spec: MetricSpec, total: Total) -> Iterator[str]:
    """Yield the lines of one set of labels."""
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(spec.labels, total.labels, strict=True))
    inside = f"{{{labels}}}" if labels else ""
    if spec.kind is not MeterKind.HISTOGRAM:
        yield f"{spec.name}{inside} {_number(spec, total.value)}"
        return
    before = f"{labels}," if labels else ""
    count = 0
    for bound, count in zip(_BOUNDS, accumulate(total.buckets), strict=True):
        yield f'{spec.name}_bucket{{{before}le="{bound}"}} {count}'
    yield f"{spec.name}_count{inside} {count}"
    yield f"{spec.name}_sum{inside} {_number(spec, total.value)}"


_KINDS = {
    MeterKind.COUNTER: "counter",
    MeterKind.HISTOGRAM: "histogram",
    MeterKind.GAUGE_SUM: "gauge",
    MeterKind.GAUGE_MAX: "gauge",
}


def _number(spec: MetricSpec, value: int) -> str:
    """Return a value in the metric's unit."""
    return repr(value / _NS_PER_S) if spec.unit == "seconds" else str(value)


def _escaped(text: str) -> str:
    """Write a label's value so that it ends where it ends."""
    return _without_breaks(text).replace('"', '\\"')


def _without_breaks(text: str) -> str:
    """Write a text within its line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _weight(text: str) -> float:
    """Return how much a client wants a format; 0 if it does not say so in numbers."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
