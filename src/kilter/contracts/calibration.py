"""A map from a model's raw probability to a calibrated one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CalibrationMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationMap:
    """Beta calibration of a binary score: ``sigmoid(a * ln p - b * ln(1 - p) + c)``.

    ``a = b = 1, c = 0`` is the identity, ``a = b`` is Platt scaling on the logit. ``a, b > 0``
    keep the map strictly increasing, so the ranking of rows is unchanged. ``n`` labels were
    used for the fit.
    """

    a: float
    b: float
    c: float
    n: int
