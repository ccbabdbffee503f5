"""Trained models for tests, with the tables that they were trained on."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeAlias

import joblib
import numpy as np
import pyarrow as pa

from kilter.contracts.format import ReferenceTable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Untyped: TypeAlias = Any
"""What libraries without types give and take."""

__all__ = ["Untyped", "arrow_ipc", "customers", "make_request", "save", "table_of"]


def table_of(features: NDArray[np.float64], target: NDArray[Any]) -> pa.Table:
    """Name the columns of a matrix ``x0`` ... and add the target ``y``."""
    columns = {f"x{i}": features[:, i] for i in range(features.shape[1])}
    return pa.table({**columns, "y": target})


def customers(rows: int = 400, *, seed: int = 0, gaps: bool = False) -> pa.Table:
    """Make a table of mixed types: age, visits, plan, region, is-new, and whether they left."""
    rng = np.random.default_rng(seed)
    age, visits = rng.normal(45.0, 12.0, rows), rng.integers(0, 30, rows)
    plan, region = rng.choice(["basic", "pro", "team"], rows), rng.choice(["north", "south"], rows)
    is_new = rng.random(rows) < 0.3
    logit = 0.05 * (age - 45) - 0.1 * visits + 1.5 * (plan == "basic") + 0.7 * is_new
    left = np.where(rng.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no")
    plans: list[str | None] = plan.tolist()
    if gaps:
        age[::7] = np.nan
        plans = [None if i % 11 == 0 else value for i, value in enumerate(plans)]
    return pa.table(
        {"age": age, "visits": visits, "plan": plans, "home-region": region, "is new": is_new, "left": left}
    )


def arrow_ipc(table: pa.Table) -> bytes:
    """Encode a table as an Arrow IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def make_request(table: pa.Table, target: str, **further: Untyped) -> ReferenceTable:
    """Put an importer's request together; missing numbers are null."""
    return ReferenceTable(arrow_ipc=arrow_ipc(table), target=target, **further)


def save(estimator: object, path: Path) -> Path:
    """Save a model with joblib, or as skops by its suffix."""
    if path.suffix == ".skops":
        from skops import io as skops_io  # noqa: PLC0415 - half a second, for few tests

        skops_io.dump(estimator, path)
    else:
        joblib.dump(estimator, path)
    return path
