"""A running kilter with two deployments: a matrix of numbers, and columns of every type."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from benchmarks.serving.process import Running
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from kilter.contracts.batch import Batch
from kilter.contracts.model import Conversion, FileEntry, Manifest
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.formats.base.conversion import convert
from kilter.settings import transfer
from kilter.settings.tree import ProjectSettings, ServingSettings, Settings
from kilter.stores.files import FileBlobs
from kilter.stores.routes import RouteFiles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COEFFICIENTS", "running"]

COEFFICIENTS = (0.8, -1.2, 0.4, 0.1)
"""Of the matrix model; another server is given the same."""

_INTERCEPT = 0.25
_START_S = 20.0
_TRAINED = 400
_SHOWN = 5
_NUMBERS, _TEXTS = ("age", "visits", "is member"), ("plan", "région")


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """Start kilter and yield what a driver needs to know of it; end it afterwards.

    Raises
    ------
    StartError
        If it does not become ready.
    """
    home = folder / "home"
    home.mkdir(mode=0o700)
    blobs = FileBlobs(str(home))
    described = {}
    routes = []
    for name, made in (("matrix", _matrix(blobs)), ("mixed", _mixed(blobs))):
        variant, described[name] = made
        routes.append(Route(deployment=name, champion=variant))
    (home / "route").mkdir()
    files = RouteFiles(home / "route")
    files.propose(RouteTable(generation=1, written_at=datetime(2026, 1, 1, tzinfo=UTC), routes=tuple(routes)))
    files.settle(1)
    settings = folder / "settings.json"
    serving = ServingSettings(port=0, grpc_port=-1, workers=1, default_deployment="matrix")
    transfer.write(Settings(project=ProjectSettings(home=str(home), folder=str(folder)), serving=serving), settings)
    argv = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor", "--settings", str(settings)]
    process = Running("kilter", argv, folder=folder)
    announced: dict[str, int] = {}

    def port() -> int | None:
        with suppress(OSError, ValueError, KeyError):
            announced.update(json.loads((home / "run" / "ports.json").read_text())["serving"])
        return announced.get("port")

    number = process.await_ready(port, "/v2/health/ready", timeout_s=_START_S)
    try:
        yield {
            "http": number,
            "grpc": announced.get("grpc_port", 0),
            "pid": process.pid,
            "body_max_bytes": serving.body_max_bytes,
            "deployments": described,
        }
    finally:
        process.stop()


def _matrix(blobs: FileBlobs) -> tuple[RouteVariant, dict[str, Any]]:
    """Make a logistic regression on four numbers."""
    values = np.random.default_rng(7).normal(size=(_TRAINED, len(COEFFICIENTS)))
    model = LogisticRegression().fit(values, values[:, 0] > 0)
    model.coef_, model.intercept_ = np.array([COEFFICIENTS]), np.array([_INTERCEPT])
    names = [f"x{position}" for position in range(len(COEFFICIENTS))]
    columns = tuple(Column(name=name, type=ColumnType.FLOAT, low=-4.0, high=4.0) for name in names)
    batch = Batch(rows=_TRAINED, numeric=values, text=np.empty((_TRAINED, 0), dtype=np.object_))
    variant = _publish(blobs, model, columns, batch)
    shown = values[:_SHOWN]
    described = {"name": "matrix", "columns": names, "rows": shown.tolist(), "classes": ["no", "yes"]}
    weights = {"texts": {}, "coefficients": COEFFICIENTS, "intercept": _INTERCEPT}
    return variant, {**described, "probabilities": model.predict_proba(shown).tolist(), "weights": weights}


def _mixed(blobs: FileBlobs) -> tuple[RouteVariant, dict[str, Any]]:
    """Make a pipeline on numbers, a boolean and texts, one name of which is not ASCII."""
    rng = np.random.default_rng(11)
    numbers = np.column_stack(
        [
            rng.normal(45.0, 12.0, _TRAINED).round(2),
            rng.integers(0, 30, _TRAINED).astype(np.float64),
            (rng.random(_TRAINED) < 0.4).astype(np.float64),
        ]
    )
    texts = np.empty((_TRAINED, 2), dtype=np.object_)
    texts[:, 0] = rng.choice(["basic", "plus", "größer"], _TRAINED)
    texts[:, 1] = rng.choice(["north", "south"], _TRAINED)
    left = 0.05 * (numbers[:, 0] - 45) - 0.1 * (numbers[:, 1] - 15) + (texts[:, 0] == "basic")
    table = np.column_stack([numbers.astype(np.object_), texts])
    first = ColumnTransformer(
        [("numbers", StandardScaler(), [0, 1, 2]), ("texts", OneHotEncoder(handle_unknown="ignore"), [3, 4])]
    )
    model = make_pipeline(first, LogisticRegression()).fit(table, left > 0)
    columns = (
        Column(name=_NUMBERS[0], type=ColumnType.FLOAT),
        Column(name=_NUMBERS[1], type=ColumnType.INTEGER),
        Column(name=_NUMBERS[2], type=ColumnType.BOOLEAN),
        Column(name=_TEXTS[0], type=ColumnType.TEXT),
        Column(name=_TEXTS[1], type=ColumnType.TEXT),
    )
    variant = _publish(blobs, model, columns, Batch(rows=_TRAINED, numeric=numbers, text=texts))
    rows = [
        {"age": one[0], "visits": int(one[1]), "is member": bool(one[2]), "plan": two[0], "région": two[1]}
        for one, two in zip(numbers[:_SHOWN].tolist(), texts[:_SHOWN].tolist(), strict=True)
    ]
    datatypes = {"age": "FP64", "visits": "INT64", "is member": "BOOL", "plan": "BYTES", "région": "BYTES"}
    described = {"name": "mixed", "columns": list(datatypes), "datatypes": datatypes, "rows": rows}
    scaler, encoder = (model[0].named_transformers_[part] for part in ("numbers", "texts"))
    weights = {
        "numbers": _NUMBERS,
        "mean": scaler.mean_.tolist(),
        "scale": scaler.scale_.tolist(),
        "texts": {name: list(levels) for name, levels in zip(_TEXTS, encoder.categories_, strict=True)},
        "coefficients": model[-1].coef_[0].tolist(),
        "intercept": float(model[-1].intercept_[0]),
    }
    return variant, {
        **described,
        "weights": weights,
        "classes": ["no", "yes"],
        "probabilities": model.predict_proba(table[:_SHOWN]).tolist(),
    }


def _publish(blobs: FileBlobs, model: Any, columns: tuple[Column, ...], batch: Batch) -> RouteVariant:  # noqa: ANN401 - untyped
    """Convert and store one version; return how a route names it."""
    signature = Signature(task=Task.BINARY, target="left", columns=columns, classes=("no", "yes"), positive="yes")
    converted = convert(model, signature, batch)
    if not converted.graph:
        raise RuntimeError(converted.reason)
    manifest = Manifest(
        signature=signature,
        runtime="onnx",
        runtime_file="model.onnx",
        files=(FileEntry(path="model.onnx", size_bytes=len(converted.graph), digest=blobs.put(converted.graph)),),
        conversion=Conversion(source_format="sklearn", converted=True, reason="conformance"),
    )
    return RouteVariant(version=1, digest=blobs.put(msgspec.json.encode(manifest, order="sorted")))
