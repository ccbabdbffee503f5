"""One loaded version: manifest, model, and what its answers are checked against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.format import LoadedModel
from kilter.contracts.golden import GoldenRows
from kilter.contracts.ids import Digest
from kilter.contracts.model import Manifest
from kilter.contracts.prediction import Flag, SchemaRecord
from kilter.contracts.signature import ColumnType, Signature, Task
from kilter.errors import ChecksumMismatch, FormatError, InvalidRequest, ModelFailed
from kilter.measures.calibration.beta import apply_scores
from kilter.measures.rows import FloatArray, decided

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.format import ModelFormat
    from kilter.contracts.route import RouteVariant

__all__ = ["Variant", "load"]

_RANGE_TOLERANCE = 1e-6
_SUM_TOLERANCE = 1e-4
_GOLDEN_TOLERANCE = 1e-5
_WARM_UPS = 3
_MOST_SAMPLES = 64
_least, _greatest, _sum = np.minimum.reduce, np.maximum.reduce, np.add.reduce  # methods take a detour through Python
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_UNSEEN_LEVEL, _OUT_OF_RANGE, _MISSING_FILLED = int(Flag.UNSEEN_LEVEL), int(Flag.OUT_OF_RANGE), int(Flag.MISSING_FILLED)


@dataclass(frozen=True, slots=True)
class Variant:
    """A version in memory, with everything an answer needs computed once.

    ``low`` and ``high`` are float64 (numeric columns,); ``levels`` holds the known values of each
    text column, empty where they are not listed. ``positive`` is ``signature.positive_index``;
    ``may_lack`` says whether a number may be missing. ``samples`` are up to 64 of the golden rows, no two the same.
    """

    number: int
    name: str
    digest: Digest
    manifest: Manifest
    signature: Signature
    model: LoadedModel
    low: FloatArray
    high: FloatArray
    levels: tuple[frozenset[str], ...]
    positive: int
    may_lack: bool
    samples: Batch | None = None

    @property
    def schema(self) -> SchemaRecord:
        """Names of the columns of this version's records."""
        signature = self.signature
        return SchemaRecord(
            digest=self.digest,
            numeric=signature.numeric_names,
            text=signature.text_names,
            classes=signature.classes,
            target=signature.target,
        )

    def run(self, batch: Batch) -> FloatArray:
        """Return the raw answers, checked: float64 (rows, classes), or (rows,) for regression.

        Raises
        ------
        ModelFailed
            If the model raises, or answers what no model may answer.
        """
        raw = np.asarray(self.model.run(batch).values, dtype=np.float64)
        signature = self.signature
        if signature.task is Task.REGRESSION:
            raw = raw.reshape(-1)
        expected = (batch.rows, len(signature.classes)) if signature.classes else (batch.rows,)
        if raw.shape != expected:
            message = f"answers of shape {raw.shape}, expected {expected}"
            raise self._illegal(message)
        if signature.task is Task.REGRESSION:
            if not np.isfinite(raw).all():
                message = "a value that is not finite"
                raise self._illegal(message)
        elif batch.rows == 1:
            self._check_row(raw[0].tolist())
        else:
            self._check_probabilities(raw)
        return raw

    def blame_input(self, batch: Batch, error: ModelFailed) -> None:
        """Say that a failure is the caller's, if a number is too large for a model that computes in float32.

        Such a number is legal as it was sent, and many models answer it; where one fails, it is why.

        Raises
        ------
        InvalidRequest
            If there is such a number; names its column.
        """
        numeric = np.asarray(batch.numeric)
        beyond = np.flatnonzero((np.abs(numeric) > _FLOAT32_MAX).any(axis=0))
        if len(beyond):
            column = self.signature.numeric_names[int(beyond[0])]
            message = f"column `{column}` holds a number beyond 3.4e38, which this model cannot compute with"
            raise InvalidRequest(message, hint="send a smaller number, or null for missing") from error

    def calibrated(self, raw: FloatArray) -> FloatArray | None:
        """Return the calibrated answers; None where there is no map to apply.

        Raises
        ------
        ModelFailed
            If the map gives what no probability may be.
        """
        calibration = self.manifest.calibration
        if calibration is None or self.signature.task is not Task.BINARY:
            return None
        outputs = np.asarray(apply_scores(calibration, raw, self.positive), dtype=np.float64)
        if not np.isfinite(outputs).all():
            message = "a calibrated value that is not finite"
            raise self._illegal(message)
        return outputs

    def labels(self, values: FloatArray) -> list[int]:
        """Return the position of the decided class of each row; empty for regression."""
        signature = self.signature
        if signature.task is Task.REGRESSION:
            return []
        if signature.task is Task.BINARY and len(values) == 1:
            positive = self.positive
            return [positive if values.item(positive) >= self.manifest.threshold else 1 - positive]
        positions: list[int] = decided(signature, values, self.manifest.threshold).astype(np.intp).tolist()
        return positions

    def flags(self, batch: Batch) -> int:
        """Return facts about the inputs that monitoring wants to know; none of them is an error."""
        flags = 0
        numeric = np.asarray(batch.numeric)
        # The usual case: clipping changes no byte. NaN survives it, so where gaps may be they are looked for.
        if numeric.clip(self.low, self.high).tobytes() != numeric.tobytes() or self.may_lack:
            is_missing = np.isnan(numeric)
            flags |= _MISSING_FILLED if is_missing.any() else 0
            is_usual = (numeric >= self.low) & (numeric <= self.high)
            flags |= 0 if (is_usual | is_missing).all() else _OUT_OF_RANGE
        for position, levels in enumerate(self.levels):
            cells = set(np.asarray(batch.text)[:, position].tolist())
            if None in cells:
                flags |= _MISSING_FILLED
                cells.discard(None)
            if levels and not cells <= levels:
                flags |= _UNSEEN_LEVEL
        return flags

    def _check_row(self, row: list[float]) -> None:
        """Check one row's probabilities; NaN makes the sum NaN, and the comparison false."""
        if not abs(sum(row) - 1) <= _SUM_TOLERANCE:
            message = "probabilities that do not sum to 1"
            raise self._illegal(message)
        if min(row) < -_RANGE_TOLERANCE or max(row) > 1 + _RANGE_TOLERANCE:
            message = "a probability outside 0 to 1"
            raise self._illegal(message)

    def _check_probabilities(self, raw: FloatArray) -> None:
        """Check many rows' probabilities; NaN makes a least or greatest NaN, and the comparisons false."""
        if not (_least(raw, axis=None) >= -_RANGE_TOLERANCE and _greatest(raw, axis=None) <= 1 + _RANGE_TOLERANCE):
            message = "a probability outside 0 to 1"
            raise self._illegal(message)
        sums = _sum(raw, axis=1)
        if not (_least(sums) >= 1 - _SUM_TOLERANCE and _greatest(sums) <= 1 + _SUM_TOLERANCE):
            message = "probabilities that do not sum to 1"
            raise self._illegal(message)

    def _illegal(self, what: str) -> ModelFailed:
        """Build the error of an answer that no model may give."""
        return ModelFailed(
            f"version {self.name} gave {what}",
            hint="roll back with `kilter rollback`, then run `kilter check` on this version",
        )


def load(
    wanted: RouteVariant,
    *,
    blobs: BlobStore,
    materialise: Callable[[Digest, str], str],
    formats: Callable[[str], ModelFormat],
) -> Variant:
    """Load one version, replay its golden rows and warm it up.

    Raises
    ------
    NotFound
        If its manifest or a file is missing.
    ChecksumMismatch
        If stored bytes are damaged, or the version no longer repeats its golden rows.
    FormatError
        If the manifest or the model cannot be read.
    ModelFailed
        If the model fails while it is warmed up.
    """
    try:
        manifest = msgspec.json.decode(blobs.get(wanted.digest), type=Manifest)
        entry = manifest.entry(manifest.runtime_file)
    except (msgspec.MsgspecError, KeyError) as cause:
        message = f"the manifest of version {wanted.version} cannot be read"
        raise FormatError(message, where=wanted.digest, why=str(cause), hint="register the model again") from cause
    path = materialise(entry.digest, entry.path.rpartition("/")[2])
    signature = manifest.signature
    numeric = [column for column in signature.columns if column.type is not ColumnType.TEXT]
    variant = Variant(
        number=wanted.version,
        name=str(wanted.version),
        digest=wanted.digest,
        manifest=manifest,
        signature=signature,
        model=formats(manifest.runtime).load(path, signature),
        low=np.array([-np.inf if column.low is None else column.low for column in numeric]),
        high=np.array([np.inf if column.high is None else column.high for column in numeric]),
        levels=tuple(frozenset(column.levels) for column in signature.columns if column.type is ColumnType.TEXT),
        positive=signature.positive_index,
        may_lack=any(column.nullable for column in numeric),
    )
    try:
        if manifest.golden_file:
            golden = msgspec.json.decode(blobs.get(manifest.entry(manifest.golden_file).digest), type=GoldenRows)
            return replace(variant, samples=_replay(variant, golden))
        _warm_up(variant)
    except BaseException:
        variant.model.close()
        raise
    return variant


def _replay(variant: Variant, golden: GoldenRows) -> Batch | None:
    """Compare the loaded model with its own recorded answers, which warms it up as well; return some of the rows."""
    signature = variant.signature
    rows = len(golden.raw)
    if rows == 0:
        return None
    numeric = np.array(golden.numeric, dtype=np.float64).reshape(rows, len(signature.numeric_names))
    text = np.empty((rows, len(signature.text_names)), dtype=np.object_)
    text[:] = [list(cells) for cells in golden.text] if golden.text else None
    recorded = np.array(golden.raw, dtype=np.float64)
    raw = variant.run(Batch(rows=rows, numeric=numeric, text=text))
    recorded = recorded.reshape(raw.shape)
    relative = 10 * _GOLDEN_TOLERANCE if signature.task is Task.REGRESSION else 0.0
    allowed = _GOLDEN_TOLERANCE + relative * np.abs(recorded)
    worst = np.abs(raw - recorded)
    if not (worst <= allowed).all():
        message = f"version {variant.name} no longer repeats its golden rows: differs by {np.max(worst):.3g}"
        raise ChecksumMismatch(
            message,
            why="another library version, or a damaged file",
            hint="register the model again with `kilter add`",
        )
    for position in range(min(_WARM_UPS, rows)):
        one = slice(position, position + 1)
        variant.run(Batch(rows=1, numeric=numeric[one], text=text[one]))
    places: dict[tuple[bytes, tuple[str | None, ...]], int] = {}
    for place in range(rows):
        places.setdefault((numeric[place].tobytes(), tuple(text[place].tolist())), place)
    at = list(places.values())[:_MOST_SAMPLES]
    return Batch(rows=len(at), numeric=numeric[at], text=text[at])


def _warm_up(variant: Variant) -> None:
    """Run a plausible row a few times, so that the first request does not pay for it."""
    low = np.where(np.isfinite(variant.low), variant.low, 0.0)
    text = np.empty((1, len(variant.levels)), dtype=np.object_)
    text[0, :] = [min(levels, default="") for levels in variant.levels]
    for _ in range(_WARM_UPS):
        variant.run(Batch(rows=1, numeric=low.reshape(1, -1), text=text))
