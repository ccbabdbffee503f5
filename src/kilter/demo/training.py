"""The demo's training function, as a user of kilter would write one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import GradientBoostingClassifier

from kilter.demo.rides import FEATURES, TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.base import ClassifierMixin

__all__ = ["fit", "train"]

_NEWEST_ROWS = 9 * 30 * 24


def fit(table: pa.Table) -> ClassifierMixin:
    """Fit a gradient-boosted classifier on a table with the features and the target."""
    matrix = np.column_stack([table[name].to_numpy().astype(np.float32) for name in FEATURES])
    model = GradientBoostingClassifier(
        n_estimators=200, max_depth=4, learning_rate=0.06, min_samples_leaf=20, subsample=0.7, random_state=0
    )
    model.fit(matrix, table[TARGET].to_numpy().astype(np.int64))
    return model


def train(data_path: str, request: Mapping[str, object]) -> ClassifierMixin:
    """Train afresh on the newest labelled rows that kilter wrote down; called by kilter in a child process.

    ``request`` says why (its reason, parent version and time range); this function needs none of it.
    Rides grow, so rows older than about nine months teach the wrong level and are left out.
    """
    del request
    table = pq.read_table(data_path)
    return fit(table.slice(max(0, table.num_rows - _NEWEST_ROWS)))
