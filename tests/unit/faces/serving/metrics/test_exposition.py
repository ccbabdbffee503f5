"""Claims about the text of the metrics, read back by the parsers of prometheus-client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_plain

from kilter.contracts.meters import BOUNDS_NS, METRICS, MeterKind, Total
from kilter.faces.serving.metrics.exposition import OPEN_METRICS, PROMETHEUS, Form, exposition, form_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.core import Metric

    from kilter.contracts.meters import MetricSpec

_SERIES = ("churn", "7", "champion", "http")
_SENT_BY_PROMETHEUS = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
    b"version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
_FORMS = [pytest.param(PROMETHEUS, id="prometheus"), pytest.param(OPEN_METRICS, id="openmetrics")]


def _read(totals: Sequence[Total], form: Form) -> dict[str, Metric]:
    text = exposition(totals, form).decode()
    return {family.name: family for family in (read_open if form.is_open else read_plain)(text)}


def _value(place: int, spec: MetricSpec) -> int:
    return 1 if spec.name.endswith("_info") else (place + 1) * 500_000_000


def _one_of_each() -> list[Total]:
    totals = []
    for place, spec in enumerate(METRICS):
        labels = tuple(f"{name} of {spec.name}" for name in spec.labels)
        buckets = tuple(range(25)) if spec.kind is MeterKind.HISTOGRAM else ()
        totals.append(Total(name=spec.name, labels=labels, value=_value(place, spec), buckets=buckets))
    return totals


@pytest.mark.parametrize("form", _FORMS)
def test_every_metric_is_read_back_with_its_kind_help_labels_and_value(form: Form) -> None:
    families = _read(_one_of_each(), form)
    assert len(families) == len(METRICS)
    for place, spec in enumerate(METRICS):
        family = families[spec.name.removesuffix("_total").removesuffix("_info" if form.is_open else "")]
        assert family.documentation == spec.about
        value = _value(place, spec)
        expected = value / 1e9 if spec.unit == "seconds" else value
        named = {name: f"{name} of {spec.name}" for name in spec.labels}
        if spec.kind is MeterKind.HISTOGRAM:
            assert family.type == "histogram"
            *buckets, count, total = family.samples
            assert [sample.labels["le"] for sample in buckets][-2:] == ["10.0", "+Inf"]
            assert [float(sample.labels["le"]) for sample in buckets[:-1]] == [bound / 1e9 for bound in BOUNDS_NS]
            assert [sample.value for sample in buckets] == [sum(range(place + 1)) for place in range(25)]
            assert (count.value, total.value) == (sum(range(25)), expected)
            assert all(sample.labels == named | {"le": sample.labels["le"]} for sample in buckets)
        else:
            (sample,) = family.samples
            assert (sample.name, sample.labels, sample.value) == (spec.name, named, expected)
        if form.is_open:
            assert family.unit == spec.unit


@pytest.mark.parametrize("form", _FORMS)
def test_metrics_that_nothing_was_counted_in_are_described(form: Form) -> None:
    families = _read([], form)
    assert len(families) == len(METRICS)
    assert all(family.samples == [] for family in families.values())


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_label_may_hold_anything(value: str) -> None:
    totals = [Total(name="kilter_shed_total", labels=(value, 'a"b\\n\n'), value=3)]
    (sample,) = _read(totals, OPEN_METRICS)["kilter_shed"].samples
    assert sample.labels == {"deployment": value, "face": 'a"b\\n\n'}
    if "\r" not in value:  # the reader of the older format takes it for the end of a line
        (sample,) = _read(totals, PROMETHEUS)["kilter_shed"].samples
        assert sample.labels["face"] == 'a"b\\n\n'


def test_half_a_character_is_written_as_a_question_mark() -> None:
    assert b'deployment="a?"' in exposition(
        [Total(name="kilter_shed_total", labels=("a\udce9", ""), value=3)], PROMETHEUS
    )


def test_the_open_format_ends_with_its_mark() -> None:
    assert exposition([], OPEN_METRICS).endswith(b"\n# EOF\n")
    assert b"EOF" not in exposition([], PROMETHEUS)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (b"", PROMETHEUS),
        (b"*/*", PROMETHEUS),
        (b"text/plain", PROMETHEUS),
        (b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", PROMETHEUS),
        (b"application/openmetrics-text", OPEN_METRICS),
        (b"Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", OPEN_METRICS),
        (b"application/openmetrics-text; version=2.0.0", PROMETHEUS),
        (b'application/openmetrics-text;version="1.0.0";q=0.5,*/*;q=0.1', OPEN_METRICS),
        (b"application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.5", PROMETHEUS),
        (b"application/openmetrics-text;q=0", PROMETHEUS),
        (b"application/openmetrics-text;q=x,text/plain", PROMETHEUS),
        (b"application/openmetrics-text;q=7", PROMETHEUS),
        (b",;;=,\xff", PROMETHEUS),
        (_SENT_BY_PROMETHEUS, OPEN_METRICS),
    ],
)
def test_the_client_chooses_the_format(accept: bytes, form: Form) -> None:
    assert form_for(accept) is form
