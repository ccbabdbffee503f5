from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, FileEntry, Manifest, ModelVersion
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import ModelFailed, NotFound, SchemaMismatch
from kilter.measures.calibration.beta import apply_scores
from kilter.services.scorer import ModelScorer

if TYPE_CHECKING:
    from kilter.testing.estimators import Untyped

COLUMNS = (Column(name="p", type=ColumnType.FLOAT, nullable=True),)
BINARY = Signature(task=Task.BINARY, target="y", columns=COLUMNS, classes=("no", "yes"), positive="yes")
REGRESSION = Signature(task=Task.REGRESSION, target="y", columns=COLUMNS)
MAP = CalibrationMap(a=1.5, b=0.8, c=0.2, n=100)


class Echo:
    """Answers the first column as the chance of the last class, or as the value."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.sizes: list[int] = []
        self.is_closed = False

    def run(self, batch: Batch) -> Scores:
        self.sizes.append(batch.rows)
        p: Untyped = np.asarray(batch.numeric)[:, 0]
        return Scores(values=np.stack((1 - p, p), axis=1) if self.signature.classes else p)

    def close(self) -> None:
        self.is_closed = True


class Formats:
    def __init__(self) -> None:
        self.models: list[Echo] = []

    def __call__(self, name: str) -> Formats:
        assert name == "onnx"
        return self

    def load(self, path: str, signature: Signature) -> Echo:
        assert path == "/cache/model.onnx"
        self.models.append(Echo(signature))
        return self.models[-1]


def version(
    signature: Signature = BINARY, *, file: str = "a", calibration: CalibrationMap | None = None
) -> ModelVersion:
    manifest = Manifest(
        signature=signature,
        runtime="onnx",
        runtime_file="deep/model.onnx",
        files=(FileEntry(path="deep/model.onnx", size_bytes=1, digest=Digest(f"sha256:{file}")),),
        conversion=Conversion(source_format="onnx", converted=False, reason=""),
        calibration=calibration,
    )
    return ModelVersion(
        id=VersionId("v"), model_id=ModelId("m"), model_name="m", number=1, digest=Digest("sha256:m"),
        manifest=manifest, origin="added", source="m.onnx", created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def scorer(formats: Formats, capacity: int = 2) -> ModelScorer:
    return ModelScorer(formats=formats, materialise=lambda _, name: f"/cache/{name}", capacity=capacity)


SPREAD = np.linspace(0.01, 0.99, 9_000)


def test_rows_are_scored_in_chunks_and_calibrated() -> None:
    formats = Formats()
    scored = scorer(formats).score(version(calibration=MAP), {"p": SPREAD, "other": SPREAD})
    raw, scores = np.asarray(scored.raw), np.asarray(scored.scores)
    assert np.array_equal(raw[:, 1], SPREAD)
    assert np.array_equal(scores, apply_scores(MAP, raw, 1))
    assert formats.models[0].sizes == [4096, 4096, 808]


def test_without_a_map_scores_are_the_raw_answers() -> None:
    for signature in (BINARY, REGRESSION):
        scored = scorer(Formats()).score(version(signature), {"p": SPREAD})
        assert np.array_equal(np.asarray(scored.scores), np.asarray(scored.raw))


def test_no_rows_have_no_scores() -> None:
    scored = scorer(Formats()).score(version(), {"p": np.empty(0)})
    assert np.asarray(scored.scores).shape == (0, 2)
    assert np.asarray(scorer(Formats()).score(version(REGRESSION), {"p": np.empty(0)}).raw).shape == (0,)


@pytest.mark.parametrize(("value", "what"), [(np.nan, "missing or infinite"), (1.5, "no probabilities")])
def test_illegal_answers_are_the_models_failure(value: float, what: str) -> None:
    with pytest.raises(ModelFailed, match=what):
        scorer(Formats()).score(version(), {"p": np.array([0.5, value])})


def test_a_missing_column_does_not_fit() -> None:
    with pytest.raises(SchemaMismatch, match="`p`"):
        scorer(Formats()).score(version(), {"q": SPREAD})


def test_models_are_loaded_once_and_the_oldest_is_closed() -> None:
    formats = Formats()
    service = scorer(formats)
    for file in ("a", "b", "a", "c"):
        service.load(version(file=file))
    assert [model.is_closed for model in formats.models] == [False, True, False]
    service.close()
    assert all(model.is_closed for model in formats.models)


def test_a_calibrated_version_shares_the_model_of_its_parent() -> None:
    formats = Formats()
    service = scorer(formats)
    assert service.load(version()) is service.load(version(calibration=MAP))


def test_a_version_without_its_runtime_file_is_not_found() -> None:
    broken = version()
    object.__setattr__(broken.manifest, "runtime_file", "gone.onnx")
    with pytest.raises(NotFound, match=r"gone\.onnx"):
        scorer(Formats()).load(broken)


def test_durations_are_of_single_rows() -> None:
    formats = Formats()
    taken = np.asarray(scorer(formats).durations_ms(version(), {"p": SPREAD[:5]}, calls=20))
    assert taken.shape == (20,)
    assert (taken > 0).all()
    assert set(formats.models[0].sizes) == {1}
    with pytest.raises(SchemaMismatch, match="no row"):
        scorer(formats).durations_ms(version(), {"p": np.empty(0)}, calls=5)
