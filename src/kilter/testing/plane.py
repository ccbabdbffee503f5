"""A small data plane for tests: a model that is a formula, published as a real version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.log import Room
from kilter.contracts.model import Conversion, FileEntry, Manifest
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.calibration import CalibrationMap
    from kilter.contracts.golden import GoldenRows
    from kilter.contracts.ids import Digest
    from kilter.contracts.log import SegmentInfo
    from kilter.contracts.prediction import LogRecord

__all__ = ["MIXED", "FormulaFormat", "MemoryLog", "publish", "table"]

MIXED = Signature(
    task=Task.BINARY,
    target="churned",
    columns=(
        Column(name="age", type=ColumnType.FLOAT, low=18.0, high=90.0),
        Column(name="visits", type=ColumnType.INTEGER),
        Column(name="is member", type=ColumnType.BOOLEAN),
        Column(name="plan", type=ColumnType.TEXT, levels=("basic", "plus")),
        Column(name="income", type=ColumnType.FLOAT, nullable=True),
        Column(name="region", type=ColumnType.TEXT, nullable=True),
    ),
    classes=("no", "yes"),
    positive="yes",
)
"""One column of every type, two of them nullable."""

_PROVOKED = 5.0


class _Formula:
    """A model: ``sigmoid(mean of the numbers / 100)``; its file may say how it misbehaves above 5."""

    def __init__(self, mode: str, signature: Signature, format_: FormulaFormat) -> None:
        self._mode = mode
        self._signature = signature
        self._format = format_

    def run(self, batch: Batch) -> Scores:
        """Score, or misbehave as the file says."""
        if self._mode == "raises" and batch.rows:
            message = "the formula failed"
            raise ModelFailed(message)
        numbers = np.nan_to_num(np.asarray(batch.numeric, dtype=np.float64))
        mean = numbers.mean(axis=1) if numbers.shape[1] else np.zeros(batch.rows)
        is_provoked = bool((mean > _PROVOKED).any())
        if self._signature.task is Task.REGRESSION:
            return Scores(values=mean * np.nan if self._mode == "nan" and is_provoked else mean)
        positive = 1 / (1 + np.exp(-mean / 100))
        wrong = {"nan": np.nan, "high": 1.5}.get(self._mode)
        if wrong is not None and is_provoked:
            positive = np.full(batch.rows, wrong)
        others = max(1, len(self._signature.classes) - 1)
        columns = [(1 - positive) / others] * others
        columns.insert(self._signature.positive_index, positive)
        values = np.stack(columns, axis=1)
        return Scores(values=values * 0.9 if self._mode == "short" and is_provoked else values)

    def close(self) -> None:
        """Count."""
        self._format.closed += 1


class FormulaFormat:
    """The format driver of formulas; counts what it loads."""

    def __init__(self) -> None:
        self.loads = 0
        self.closed = 0
        self.modes: dict[str, str] = {}

    def load(self, path: str, signature: Signature) -> _Formula:
        """Load by path; a mode of ``broken`` cannot be loaded.

        Raises
        ------
        FormatError
            If the mode says so.
        """
        self.loads += 1
        mode = self.modes.get(path, path.rpartition("/")[2].removesuffix(".formula"))
        if mode == "broken":
            message = "the formula is truncated"
            raise FormatError(message)
        return _Formula(mode, signature, self)


class MemoryLog:
    """A RecordLog in memory that can be told to refuse."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.refuses: Exception | None = None
        self.seals = 0

    def append(self, records: Sequence[LogRecord]) -> None:
        """Keep the records, or refuse."""
        if self.refuses is not None:
            raise self.refuses
        self.records += records

    def sync(self) -> None:
        """Do nothing."""

    def end(self, *, older_than_s: float = 0.0) -> SegmentInfo | None:
        """Count, unless only an old segment is to be ended."""
        self.seals += not older_than_s
        return None

    def seal(self) -> SegmentInfo | None:
        """Count."""
        return self.end()

    def room(self) -> Room:
        """Have plenty."""
        return Room(free_bytes=2**40, total_bytes=2**41)

    def close(self) -> None:
        """Do nothing."""


def publish(
    blobs: BlobStore,
    *,
    number: int = 1,
    signature: Signature = MIXED,
    runtime: str = "formula",
    mode: str = "fine",
    content: bytes = b"",
    calibration: CalibrationMap | None = None,
    golden: GoldenRows | None = None,
) -> RouteVariant:
    """Store a version's blobs and return how a route names it; ``mode`` names the file of a formula."""

    def stored(path: str, data: bytes) -> FileEntry:
        digest: Digest = blobs.put(data)
        return FileEntry(path=path, size_bytes=len(data), digest=digest)

    file = {"onnx": "model.onnx", "sklearn": "model.joblib"}.get(runtime, f"{mode}.formula")
    files = [stored(file, content or f"{mode} {number}".encode())]
    if golden is not None:
        files.append(stored("golden.json", msgspec.json.encode(golden)))
    manifest = Manifest(
        signature=signature,
        runtime=runtime,
        runtime_file=file,
        files=tuple(files),
        conversion=Conversion(source_format=runtime, converted=False, reason="test"),
        calibration=calibration,
        golden_file="" if golden is None else "golden.json",
    )
    digest = blobs.put(msgspec.json.encode(manifest, order="sorted"))
    return RouteVariant(version=number, digest=digest)


def table(generation: int, *routes: Route) -> RouteTable:
    """Return a route table of a fixed time."""
    return RouteTable(generation=generation, written_at=datetime(2026, 1, 1, tzinfo=UTC), routes=routes)
