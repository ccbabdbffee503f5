"""How far a converted model is from its original, on rows of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Signature, Task
from kilter.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.format import LoadedModel

__all__ = ["Parity", "compare", "require_batch_invariance"]

_ABSOLUTE = 1e-5
_RELATIVE = 1e-4
_ROUNDING_SHARE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Agreement on ``rows`` rows; ``reason`` is empty if it suffices."""

    rows: int
    max_abs_difference: float
    label_flips: int
    rounding_rows: int
    reason: str


def compare(original: LoadedModel, converted: LoadedModel, signature: Signature, batch: Batch) -> Parity:
    """Compare two models row by row, as section 7 of the design has it.

    A row outside the tolerance that the original repeats on inputs rounded to float32 is a rounding
    row: a tree split at a float32 boundary. Up to 0.1 % of rows may be. A label that changes within the
    tolerance of a tie is no flip.

    Raises
    ------
    ModelFailed
        If either model fails on the rows.
    """
    wanted, got = np.asarray(original.run(batch).values), np.asarray(converted.run(batch).values)
    difference, tolerance = _rowwise(wanted, got)
    is_outside = ~(difference <= tolerance)
    rounded = Batch(
        rows=batch.rows, numeric=np.asarray(batch.numeric).astype(np.float32).astype(np.float64), text=batch.text
    )
    rounding = 0
    if is_outside.any():
        again, _ = _rowwise(np.asarray(original.run(rounded).values), got)
        is_rounding = is_outside & (again <= tolerance)
        rounding = int(is_rounding.sum())
        is_outside &= ~is_rounding
    flips = _flips(signature, wanted, got, tolerance)
    return Parity(
        rows=batch.rows,
        max_abs_difference=float(difference.max(initial=0.0)),
        label_flips=flips,
        rounding_rows=rounding,
        reason=_reason(batch.rows, int(is_outside.sum()), rounding, flips),
    )


def require_batch_invariance(model: LoadedModel, batch: Batch) -> None:
    """Check that 1, 2 and 64 rows at once give the same answers as single rows.

    Raises
    ------
    FormatError
        If an answer depends on its neighbours.
    ModelFailed
        If the model fails on one of these sizes.
    """
    singles = np.concatenate([np.asarray(model.run(_rows(batch, i, i + 1)).values) for i in range(min(64, batch.rows))])
    for size in (2, 64):
        together = np.asarray(model.run(_rows(batch, 0, size)).values)
        if not np.allclose(together, singles[: together.shape[0]], rtol=1e-5, atol=1e-6, equal_nan=True):
            msg = f"the model answers a row differently among {size} rows than alone"
            raise FormatError(
                msg,
                hint="export the model in inference mode, with a free first dimension",
            )


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    """Cut rows out of a batch."""
    numeric, text = np.asarray(batch.numeric)[start:stop], np.asarray(batch.text)[start:stop]
    return Batch(rows=numeric.shape[0], numeric=numeric, text=text)


def _rowwise(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each row's largest difference, and its tolerance."""
    if wanted.ndim == 1:
        return np.abs(wanted - got), _ABSOLUTE + _RELATIVE * np.abs(wanted)
    return np.abs(wanted - got).max(axis=1), np.full(wanted.shape[0], _ABSOLUTE)


def _flips(
    signature: Signature, wanted: NDArray[np.float64], got: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> int:
    """Count rows whose most likely class differs, ties left out."""
    if signature.task is Task.REGRESSION:
        return 0
    top = np.sort(wanted, axis=1)[:, -2:]
    is_tie = top[:, 1] - top[:, 0] <= 2 * tolerance
    return int(((wanted.argmax(axis=1) != got.argmax(axis=1)) & ~is_tie).sum())


def _reason(rows: int, outside: int, rounding: int, flips: int) -> str:
    """Say why a conversion does not hold; empty if it does."""
    if flips:
        return f"{flips} of {rows} labels changed"
    if outside:
        return f"{outside} of {rows} answers differ by more than the tolerance"
    if rounding > _ROUNDING_SHARE * rows:
        return f"{rounding} of {rows} rows lie on a float32 rounding edge"
    return ""
