"""Mergeable counts: of a version's reference rows, and of every window after it."""

from kilter.measures._profile import CategoricalMap, NumericMap, ReferenceMetric, ReferenceProfile, WindowProfile

__all__ = ["CategoricalMap", "NumericMap", "ReferenceMetric", "ReferenceProfile", "WindowProfile"]
