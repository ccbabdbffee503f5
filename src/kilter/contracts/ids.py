"""Distinct types for the names and ids of things."""

from __future__ import annotations

from typing import NewType

__all__ = [
    "AlertId",
    "DecisionId",
    "Digest",
    "ModelId",
    "PredictionId",
    "RolloutId",
    "TriggerId",
    "VersionId",
]

ModelId = NewType("ModelId", str)
VersionId = NewType("VersionId", str)
RolloutId = NewType("RolloutId", str)
AlertId = NewType("AlertId", str)
DecisionId = NewType("DecisionId", str)
TriggerId = NewType("TriggerId", str)
PredictionId = NewType("PredictionId", str)
Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits."""
