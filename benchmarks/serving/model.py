"""The model under load: breast cancer, 30 numbers, gradient boosting of histograms, as ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier

from kilter.contracts.batch import Batch
from kilter.contracts.golden import GoldenRows
from kilter.contracts.model import Conversion, FileEntry, Manifest
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.formats.base.conversion import convert
from kilter.stores.files import FileBlobs
from kilter.stores.routes import RouteFiles

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEPLOYMENT", "DURABLE", "Published", "publish"]

DEPLOYMENT = "cancer"
DURABLE = "cancer-disk"
"""The same version, its records on the device before the answer."""

_GOLDEN = 32


@dataclass(frozen=True, slots=True)
class Published:
    """Rows for the published model (the first by name, too), and what the original says of the first."""

    row: dict[str, float]
    matrix: np.ndarray[Any, np.dtype[np.float64]]
    probability: float


def publish(home: Path) -> Published:
    """Train, convert, store and route the model below a home folder; return one of its rows."""
    data = load_breast_cancer()
    names = tuple(str(name) for name in data.feature_names)
    model = HistGradientBoostingClassifier(random_state=0).fit(data.data, data.target)
    signature = Signature(
        task=Task.BINARY,
        target="malignant",
        columns=tuple(
            Column(name=name, type=ColumnType.FLOAT, low=float(low), high=float(high))
            for name, low, high in zip(names, data.data.min(axis=0), data.data.max(axis=0), strict=True)
        ),
        classes=("0", "1"),
        positive="1",
    )
    rows = len(data.data)
    batch = Batch(rows=rows, numeric=data.data, text=np.empty((rows, 0), dtype=np.object_))
    graph = convert(model, signature, batch).graph
    golden = GoldenRows(
        numeric=tuple(map(tuple, data.data[:_GOLDEN].tolist())),
        text=(),
        raw=tuple(map(tuple, model.predict_proba(data.data[:_GOLDEN]).tolist())),
    )
    blobs = FileBlobs(str(home))
    files = []
    for path, content in (("model.onnx", graph), ("golden.json", msgspec.json.encode(golden))):
        files.append(FileEntry(path=path, size_bytes=len(content), digest=blobs.put(content)))
    manifest = Manifest(
        signature=signature,
        runtime="onnx",
        runtime_file="model.onnx",
        files=tuple(files),
        conversion=Conversion(source_format="sklearn", converted=True, reason="benchmark"),
        golden_file="golden.json",
    )
    champion = RouteVariant(version=1, digest=blobs.put(msgspec.json.encode(manifest)))
    table = RouteTable(
        generation=1,
        written_at=datetime(2026, 1, 1, tzinfo=UTC),
        routes=(
            Route(deployment=DEPLOYMENT, champion=champion),
            Route(deployment=DURABLE, champion=champion, durable="disk"),
        ),
    )
    folder = home / "route"
    folder.mkdir(exist_ok=True)
    routes = RouteFiles(folder)
    routes.propose(table)
    routes.settle(1)
    probability = float(model.predict_proba(data.data[:1])[0, 1])
    return Published(dict(zip(names, data.data[0].tolist(), strict=True)), data.data, probability)
