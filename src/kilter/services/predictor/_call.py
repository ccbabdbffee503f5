"""One request on its way, and the answer it becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
from kilter.errors import DeadlineExceeded
from kilter.measures.rows import FloatArray, label_text
from kilter.policy.routing import Assignment
from kilter.services.predictor._snapshot import Target
from kilter.services.predictor._variant import Variant

if TYPE_CHECKING:
    from kilter.contracts.prediction import Arm
    from kilter.contracts.route import Route

__all__ = ["Call", "Prediction", "key_of", "late"]


class Prediction(NamedTuple):
    """An answer.

    ``values`` is float64 after calibration: (rows, classes), or (rows,) for regression. ``labels``
    are positions among the classes (empty for regression). ``is_logged`` is false where the log was
    full and the route says ``count``.
    """

    prediction_id: str
    deployment: str
    generation: int
    arm: Arm
    variant: Variant
    values: FloatArray
    labels: list[int]
    is_logged: bool = True
    is_fallback: bool = False


@dataclass(slots=True)
class Call:
    """One request on its way: what the record needs whether it succeeds or fails.

    ``batch`` is what ``variant`` takes, ``asked`` what the caller sent: they differ where a challenger
    takes other columns. Times are those of ``time.perf_counter_ns()``.
    """

    target: Target
    variant: Variant
    assignment: Assignment
    prediction_id: str
    batch: Batch
    asked: Batch
    key: str
    face: str
    request_id: str
    entity_id: str | None
    flags: int
    started_ns: int
    deadline_ns: int
    parent_id: str = ""
    trace_id: str = ""
    compute_ns: int = 0
    queue_ns: int = 0

    @property
    def route(self) -> Route:
        """The deployment's route."""
        return self.target.route


def key_of(route: Route, variant: Variant, batch: Batch) -> str | None:
    """Return the route's key column of row 0 as text; None without such a column or value."""
    if not route.key:
        return None
    signature = variant.signature
    if route.key in signature.text_names:
        cell = np.asarray(batch.text)[0, signature.text_names.index(route.key)]
        return None if cell is None else str(cell)
    if route.key in signature.numeric_names:
        number = float(np.asarray(batch.numeric)[0, signature.numeric_names.index(route.key)])
        return label_text(number) if math.isfinite(number) else None
    return None


def late(call: Call) -> DeadlineExceeded:
    """Build the error of an answer that is not there in time."""
    return DeadlineExceeded(
        f"`{call.route.deployment}` had no answer within its deadline",
        hint="send fewer rows, allow more with `timeout_ms`, or raise `deadline_ms` in kilter.toml",
    )
