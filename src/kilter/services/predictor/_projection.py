"""What one version takes of a batch that was read for another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature
    from kilter.services.predictor._variant import Variant

__all__ = ["Projection", "projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """Which columns of the champion's batch another version takes, in its own order."""

    numeric: NDArray[np.intp]
    text: NDArray[np.intp]

    def of(self, batch: Batch) -> Batch:
        """Return the batch as the other version takes it."""
        numeric, text = np.asarray(batch.numeric), np.asarray(batch.text)
        return Batch(rows=batch.rows, numeric=np.ascontiguousarray(numeric[:, self.numeric]), text=text[:, self.text])


def projection(deployment: str, champion: Variant, other: Variant) -> Projection | None:
    """Map one version's columns to the champion's; None if they are the same.

    Raises
    ------
    SchemaMismatch
        If the version needs a column that the champion does not take.
    """
    own, theirs = champion.signature, other.signature
    if _typed(own) == _typed(theirs):
        return None
    missing = sorted(set(_typed(theirs)) - set(_typed(own)))
    if missing:
        shown = ", ".join(f"`{name}` ({kind})" for name, kind in missing[:5])
        message = (
            f"version {other.name} of `{deployment}` needs columns that version {champion.name} does not take: {shown}"
        )
        raise SchemaMismatch(
            message,
            hint='deploy it with `strategy = "blue-green"`, and send the new columns',
        )
    return Projection(
        numeric=np.array([own.numeric_names.index(name) for name in theirs.numeric_names], dtype=np.intp),
        text=np.array([own.text_names.index(name) for name in theirs.text_names], dtype=np.intp),
    )


def _typed(signature: Signature) -> tuple[tuple[str, str], ...]:
    """Return names and types of the columns, in order."""
    return tuple((column.name, column.type.value) for column in signature.columns)
