"""The page of metrics says what a scrape shows: every name, kind and label, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kilter.contracts.meters import METRICS, MeterKind, Total
from kilter.faces.serving.metrics.exposition import OPEN_METRICS, exposition
from kilter.faces.serving.metrics.refusal import FACES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


def described() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Read kind and labels of every metric on the page."""
    rows = re.findall(r"^\| `(kilter_\w+)` \| ([\w, ]+) \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (kind.partition(",")[0], tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_page_lists_what_a_scrape_shows() -> None:
    totals = [
        Total(
            name=spec.name,
            labels=tuple(spec.labels),
            value=1,
            buckets=(1,) * 25 if spec.kind is MeterKind.HISTOGRAM else (),
        )
        for spec in METRICS
    ]
    families = text_string_to_metric_families(exposition(totals, OPEN_METRICS).decode())  # type: ignore[no-untyped-call]
    shown = {}
    for family in families:
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = tuple(label for label in family.samples[-1].labels if label != "le")
        shown[name] = ("gauge" if family.type == "info" else family.type, labels)
    assert described() == shown


def test_the_page_names_every_label_and_face() -> None:
    text = PAGE.read_text(encoding="utf-8")
    part = text.partition("## What the labels hold")[2].partition("\n## ")[0]
    for label in {label for spec in METRICS for label in spec.labels}:
        assert f"`{label}`" in part
    for face in {*FACES.values(), "grpc"}:
        assert f"`{face}`" in part
