"""One request on its way, and the answer it becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.prediction import Arm
from kilter.contracts.route import Route
from kilter.errors import DeadlineExceeded, NotFound
from kilter.measures.rows import FloatArray, label_text
from kilter.policy.routing import Assignment, pinned
from kilter.services.predictor._variant import Variant

__all__ = ["Call", "Prediction", "key_of", "late", "pinned_to"]


class Prediction(NamedTuple):
    """An answer that is on record.

    ``values`` is float64 after calibration: (rows, classes), or (rows,) for regression. ``labels``
    are positions among the classes (empty for regression).
    """

    prediction_id: str
    deployment: str
    generation: int
    arm: Arm
    variant: Variant
    values: FloatArray
    labels: list[int]


@dataclass(slots=True)
class Call:
    """One request on its way: what the record needs whether it succeeds or fails."""

    route: Route
    variant: Variant
    generation: int
    assignment: Assignment
    prediction_id: str
    batch: Batch
    key: str
    face: str
    request_id: str
    entity_id: str | None
    flags: int
    started_ns: int
    parent_id: str = ""


def pinned_to(route: Route, version: int) -> Assignment:
    """Return the assignment of a request for one version; ``Predictor.variant`` has found it."""
    wanted = pinned(route, version)
    if wanted is None:
        message = f"version {version} of `{route.deployment}` is not loaded"
        raise NotFound(message, hint="leave the version out")
    return Assignment(wanted, Arm.PINNED, 1.0, is_judged=False)


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
