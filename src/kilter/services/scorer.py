"""Runs registered versions over columns, off the request path."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.scoring import Scored
from kilter.contracts.signature import Task
from kilter.errors import ModelFailed, NotFound, SchemaMismatch
from kilter.measures.calibration.beta import apply_scores
from kilter.measures.rows import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.format import LoadedModel, ModelFormat
    from kilter.contracts.ids import Digest
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.signature import Signature
    from kilter.measures.rows import FloatArray

__all__ = ["ModelScorer"]

_CHUNK_ROWS: Final = 4_096
_SUM_TOLERANCE: Final = 1e-4
_RANGE_TOLERANCE: Final = 1e-6


class ModelScorer:
    """A ``Scorer`` that keeps the models it used last in memory.

    Guarantees: the same columns give the same scores; rows are scored in chunks, so memory is bounded by
    the answer; not safe from several threads.

    Parameters
    ----------
    formats : callable
        Returns the format plug-in of a name.
    materialise : callable
        Turns a digest and a file name into the path of a verified local file.
    capacity : int
        How many models are kept loaded.
    """

    def __init__(
        self,
        *,
        formats: Callable[[str], ModelFormat],
        materialise: Callable[[Digest, str], str],
        capacity: int = 8,
    ) -> None:
        self._formats = formats
        self._materialise = materialise
        self._capacity = capacity
        self._loaded: OrderedDict[tuple[str, Signature], LoadedModel] = OrderedDict()

    def score(self, version: ModelVersion, columns: Columns) -> Scored:
        """Score rows given as columns of the version's signature; extra columns are ignored.

        Parameters
        ----------
        version : ModelVersion
            Which version; its calibration map is applied.
        columns : mapping of name to array of shape (n,)
            The rows.

        Returns
        -------
        Scored
            Raw and calibrated float64 (n, classes), or (n,) for regression.

        Raises
        ------
        SchemaMismatch
            If a column is missing or has the wrong type.
        ModelFailed
            If the model raises or answers illegally.
        """
        manifest = version.manifest
        batch = batch_of(manifest.signature, columns)
        model = self.load(version)
        chunks = [
            np.asarray(model.run(_rows(batch, start, start + _CHUNK_ROWS)).values, dtype=np.float64)
            for start in range(0, batch.rows, _CHUNK_ROWS)
        ]
        width = (len(manifest.signature.classes),) if manifest.signature.classes else ()
        raw = np.concatenate(chunks) if chunks else np.empty((0, *width), dtype=np.float64)
        _require_legal(manifest.signature, raw)
        if manifest.calibration is None or manifest.signature.task is not Task.BINARY:
            return Scored(raw=raw, scores=raw)
        return Scored(raw=raw, scores=apply_scores(manifest.calibration, raw, manifest.signature.positive_index))

    def durations_ms(self, version: ModelVersion, columns: Columns, *, calls: int) -> Array:
        """Return milliseconds of single-row calls through the loaded runtime, after a warm-up.

        Parameters
        ----------
        version : ModelVersion
            Which version.
        columns : mapping of name to array of shape (n,)
            Rows to take turns.
        calls : int, >= 1
            How many calls to time.

        Returns
        -------
        float64 array of shape (calls,)

        Raises
        ------
        SchemaMismatch
            If a column is missing, or there is no row.
        ModelFailed
            If the model raises.
        """
        batch = batch_of(version.manifest.signature, columns)
        if batch.rows == 0:
            msg = "there is no row to time"
            raise SchemaMismatch(msg, hint="give data with at least one row")
        model = self.load(version)
        singles = [_rows(batch, i, i + 1) for i in range(min(batch.rows, calls))]
        for single in singles[:10]:
            model.run(single)
        taken = np.empty(calls, dtype=np.float64)
        for call in range(calls):
            single = singles[call % len(singles)]
            start = time.perf_counter_ns()
            model.run(single)
            taken[call] = (time.perf_counter_ns() - start) / 1e6
        return taken

    def load(self, version: ModelVersion) -> LoadedModel:
        """Return the model of a version, loaded once.

        Raises
        ------
        NotFound, ChecksumMismatch
            If its file is gone or damaged.
        FormatError
            If it cannot be loaded.
        """
        manifest = version.manifest
        try:
            entry = manifest.entry(manifest.runtime_file)
        except KeyError as error:
            msg = f"version {version.model_name}@{version.number} lists no `{manifest.runtime_file}`"
            raise NotFound(msg) from error
        key = (entry.digest, manifest.signature)
        model = self._loaded.get(key)
        if model is None:
            path = self._materialise(entry.digest, entry.path.rpartition("/")[2])
            model = self._formats(manifest.runtime).load(path, manifest.signature)
            self._loaded[key] = model
            while len(self._loaded) > self._capacity:
                self._loaded.popitem(last=False)[1].close()
        self._loaded.move_to_end(key)
        return model

    def close(self) -> None:
        """Close all loaded models."""
        while self._loaded:
            self._loaded.popitem()[1].close()


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    """Cut rows out of a batch."""
    numeric, text = np.asarray(batch.numeric)[start:stop], np.asarray(batch.text)[start:stop]
    return Batch(rows=numeric.shape[0], numeric=numeric, text=text)


def _require_legal(signature: Signature, raw: FloatArray) -> None:
    """Refuse answers that no model may give."""
    if not np.isfinite(raw).all():
        rows = int((~np.isfinite(raw.reshape(raw.shape[0], -1)).all(axis=1)).sum())
        msg = f"the model answered {rows} of {raw.shape[0]} rows with missing or infinite values"
        raise ModelFailed(
            msg,
            hint="check the rows with missing values, and how the model treats them",
        )
    if signature.task is Task.REGRESSION or raw.size == 0:
        return
    is_outside = raw.min() < -_RANGE_TOLERANCE or raw.max() > 1 + _RANGE_TOLERANCE
    if is_outside or np.abs(raw.sum(axis=1) - 1.0).max() > _SUM_TOLERANCE:
        msg = "the model's answers are no probabilities: each must lie in [0, 1] and a row must add up to 1"
        raise ModelFailed(
            msg,
            hint="export the model with probabilities instead of decision scores",
        )
