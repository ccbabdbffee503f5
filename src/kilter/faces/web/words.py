"""Plain words for the names of metrics, states and steps; numbers and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from kilter.faces.web._plot import element, number

if TYPE_CHECKING:
    from kilter.contracts.reading import Reading

__all__ = ["SHAPES", "ago", "duration", "interval", "metric_name", "moment", "of_100", "state_slug", "word"]

SHAPES = {
    "Fine": Markup('<circle cx="8" cy="8" r="6"/>'),
    "Watch": Markup('<path d="M8 2l6.5 11.5h-13z"/>'),
    "Needs attention": Markup('<path d="M8 1.5l6.5 6.5-6.5 6.5L1.5 8z"/>'),
    "Stopped": Markup('<rect x="2.5" y="2.5" width="11" height="11" rx="1"/>'),
    "Not enough data": Markup('<circle cx="8" cy="8" r="5" class="ring"/>'),
}
"""Each state has a shape of its own, so that colour is never the only sign."""

_METRICS = {
    "accuracy_score": "Share of right answers (accuracy)",
    "balanced_accuracy_score": "Balanced accuracy",
    "brier_score_loss": "Squared error of the chances (Brier score)",
    "log_loss": "Surprise at the truth (log loss)",
    "roc_auc_score": "Ranking (ROC AUC)",
    "precision_score": "Precision",
    "recall_score": "Recall",
    "f1_score": "F1",
    "mean_absolute_error": "Mean absolute error",
    "mean_bias_error": "Mean error (bias)",
    "root_mean_squared_error": "Root mean squared error",
    "r2_score": "Explained variance (R²)",
    "calibration_error": "Mean gap between chance and truth (ECE)",
    "expected_calibration_error": "Mean gap between chance and truth (ECE)",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "reliability_curve": "Reliability curve",
    "error_rate": "Share of failed requests",
    "ks": "Largest gap of shares (KS)",
    "total_variation": "Shifted share (total variation)",
    "population_stability_index": "PSI",
    "jensen_shannon": "Jensen-Shannon distance",
    "missing": "Missing values",
    "schema_faults": "Faults of the schema",
    "missing_share": "Missing values",
    "unseen_level_share": "Values never seen before",
    "outside_range_share": "Values out of range",
    "latency_p50_ms": "Median response time (ms)",
    "latency_p99_ms": "Response time, 99 of 100 (ms)",
}
_WORDS = {
    "alert.opened": "alert opened",
    "alert.updated": "alert updated",
    "alert.closed": "alert closed",
    "alert.acknowledged": "alert seen by a person",
    "champion": "live version",
    "control": "kilter itself",
    "feature_drift": "inputs changed",
    "input_health": "input quality",
    "model.added": "model added",
    "operational": "operation",
    "refit": "retrain",
    "score_drift": "answers changed",
    "version.derived": "version derived",
    "version.registered": "version registered",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def metric_name(metric: str) -> str:
    """Return a metric's name in words."""
    base, _, variant = metric.partition("[")
    name = _METRICS.get(base, base.replace("_", " ").capitalize())
    return f"{name}, {variant.rstrip(']').replace('=', ' ').replace(',', ', ')}" if variant else name


def word(name: str) -> str:
    """Return a state, family or action in words."""
    return _WORDS.get(name, name.replace("_", " ").replace(".", " "))


def state_slug(state: str) -> str:
    """Return a state as a class name."""
    return state.lower().replace(" ", "-")


def of_100(share: float | None) -> str:
    """Say a share as a frequency."""
    return "–" if share is None else f"{number(round(100 * share, 1))} of 100"


def interval(reading: Reading | None) -> str:
    """Write a reading with its interval and its rows."""
    if reading is None:
        return "–"
    if reading.estimate is None:
        return f"not evaluated: {(reading.not_evaluated or '').partition(':')[2].strip() or reading.not_evaluated}"
    text = number(reading.estimate)
    if reading.low is not None and reading.high is not None:
        text += f" ({number(reading.low)} to {number(reading.high)})"
    return f"{text}, n = {reading.n:,}"


def moment(at: datetime | None) -> Markup:
    """Write a time for people and programs."""
    if at is None:
        return Markup("–")
    utc = at.astimezone(UTC)
    return element("time", utc.strftime("%d %b %Y %H:%M UTC"), datetime=utc.isoformat(timespec="seconds"))


def duration(seconds: float) -> str:
    """Write a stretch of time in its largest unit."""
    for size, name in ((86_400 * 2, 86_400), (3_600 * 2, 3_600), (60 * 2, 60)):
        if seconds >= size:
            unit = {86_400: "days", 3_600: "hours", 60: "minutes"}[name]
            return f"{seconds / name:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago something was."""
    if at is None:
        return "never"
    passed = now - at
    return "just now" if passed < timedelta(seconds=1) else f"{duration(passed.total_seconds())} ago"
