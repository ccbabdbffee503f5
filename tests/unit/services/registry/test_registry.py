from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kilter import plugins
from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.evidence import AuditRow
from kilter.contracts.golden import GoldenRows
from kilter.contracts.ids import Digest
from kilter.contracts.model import Manifest, ModelVersion
from kilter.contracts.spec import DataSpec, ModelSpec
from kilter.errors import InvalidRequest, NotFound, SchemaMismatch, StoreError
from kilter.formats import sklearn as reading
from kilter.measures.profile import codec
from kilter.measures.profile import reference as profiling
from kilter.services.governance import Governance
from kilter.services.registry import Registry
from kilter.services.scorer import ModelScorer
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.files import FileBlobs
from kilter.stores.memory import MemoryMetadata
from kilter.stores.sheets import Sheets
from kilter.testing.estimators import save, table_of

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.format import Imported, ReferenceTable
    from kilter.contracts.signature import Signature

X, Y = load_breast_cancer(return_X_y=True)
MODEL = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:, :5], Y)
MAP = CalibrationMap(a=1.3, b=0.9, c=0.1, n=300)


class InProcess:
    """An importer for skops files, which are safe to read here."""

    reads = 0

    def fingerprint(self, path: str) -> Digest:
        return Digest(f"sha256:{hash(Path(path).read_bytes())}")

    def read(self, path: str, reference: ReferenceTable, *, trust: bool) -> Imported:
        assert not trust
        self.reads += 1
        found = reading.read(path, reference)
        files = {**found.files, f"original/{Path(path).name}": Path(path).read_bytes()}
        return replace(found, files=files, warnings=("an older library",))


def profile(s: Signature, c: Columns, y: Array, labels: Array | None, *, threshold: float) -> bytes:
    return codec.encode_reference(profiling.build(s, c, y, labels, threshold=threshold))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    metadata, clock, blobs = MemoryMetadata(), SystemClock(), FileBlobs(str(tmp_path / "home"))
    return Registry(
        metadata=metadata,
        blobs=blobs,
        importer=InProcess(),
        tables=Sheets(),
        scorer=ModelScorer(formats=lambda name: plugins.load("formats", name), materialise=blobs.local_path),
        materialise=blobs.local_path,
        profile=profile,
        auditor=Governance(metadata=metadata, clock=clock),
        clock=clock,
        ids=UuidSource(clock),
    )


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    path = save(MODEL, tmp_path / "cancer.skops")
    return ModelSpec(name="cancer", source=str(path), target="y", owner="ward", purpose="triage")


@pytest.fixture
def data(tmp_path: Path) -> DataSpec:
    table = table_of(X[:, :5], Y)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    Sheets().to_parquet({**columns, "row": np.arange(float(len(Y)))}, str(tmp_path / "reference.parquet"))
    return DataSpec(reference=str(tmp_path / "reference.parquet"), id="row")


def test_a_version_holds_everything_that_makes_it(registry: Registry, model: ModelSpec, data: DataSpec) -> None:
    told: list[float] = []
    version = registry.register(model, data, by="me", progress=lambda share, _: told.append(share))
    manifest = version.manifest
    assert (version.number, version.origin, version.source, version.note) == (
        1, "added", "cancer.skops", "an older library",
    )  # fmt: skip
    assert [entry.path for entry in manifest.files] == [
        "golden.json", "model.onnx", "original/cancer.skops", "profile.bin", "reference.arrow", "source.json",
    ]  # fmt: skip
    assert [column.name for column in manifest.signature.columns] == [f"x{i}" for i in range(5)]
    assert (manifest.signature.classes, manifest.signature.positive) == (("0", "1"), "0")
    assert told == sorted(told)
    blobs = registry._blobs  # noqa: SLF001 - the store of the fixture
    assert msgspec.json.decode(blobs.get(version.digest), type=Manifest) == manifest
    golden = msgspec.json.decode(blobs.get(manifest.entry("golden.json").digest), type=GoldenRows)
    expected = MODEL.predict_proba(np.array(golden.numeric, dtype=float))
    assert np.allclose(np.array(golden.raw), expected, atol=1e-6)
    reference = codec.decode_reference(blobs.get(manifest.entry("profile.bin").digest))
    assert reference.rows == len(Y)


def test_the_same_source_is_the_same_version_and_is_not_read_again(
    registry: Registry, model: ModelSpec, data: DataSpec
) -> None:
    first = registry.register(model, data, by="me")
    assert registry.register(model, data, by="you") == first
    assert registry._importer.reads == 1  # type: ignore[attr-defined] # noqa: SLF001 - the fixture's importer
    other = registry.register(replace(model, positive="1"), data, by="me")
    assert (other.number, other.manifest.signature.positive) == (2, "1")


def test_the_same_content_is_one_version_even_if_the_source_is_unknown(
    registry: Registry, model: ModelSpec, data: DataSpec
) -> None:
    first = registry.register(model, data, by="me")
    draft = replace(first, number=0, digest=Digest(""))
    again = registry._commit(draft, model=model, by="me", action="version.registered")  # noqa: SLF001 - the last step alone
    assert again == first


def test_a_retrained_version_names_its_parent_and_trigger(
    registry: Registry, model: ModelSpec, data: DataSpec, tmp_path: Path
) -> None:
    first = registry.register(model, data, by="me")
    other = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X[:, :5], Y)
    again = replace(model, source=str(save(other, tmp_path / "again.skops")))
    second = registry.register(again, data, by="me", origin="retrained", parent=first, trigger_id="trigger_1")
    assert (second.number, second.parent_number, second.trigger_id, second.origin) == (2, 1, "trigger_1", "retrained")
    assert second.manifest.parent == first.digest


def test_a_derived_version_has_its_own_profile_and_the_same_weights(
    registry: Registry, model: ModelSpec, data: DataSpec
) -> None:
    parent = registry.register(model, data, by="me")
    child = registry.derive(parent, calibration=MAP, note="recalibrated", by="monitor")
    assert (child.number, child.origin, child.parent_number, child.note) == (2, "recalibrated", 1, "recalibrated")
    assert child.manifest.calibration == MAP
    for path in ("model.onnx", "golden.json", "reference.arrow", "source.json"):
        assert child.manifest.entry(path) == parent.manifest.entry(path)
    assert child.manifest.entry("profile.bin") != parent.manifest.entry("profile.bin")
    assert registry.derive(parent, calibration=MAP, note="again", by="you") == child
    assert registry.register(model, data, by="me") == parent


def test_reference_rows_come_back_with_their_target(registry: Registry, model: ModelSpec, data: DataSpec) -> None:
    version = registry.register(model, data, by="me")
    table = registry.reference(version)
    assert table.rows == len(Y)
    assert np.array_equal(np.asarray(table.columns["y"]), Y.astype(float))


def test_every_step_leaves_an_audit_row(registry: Registry, model: ModelSpec, data: DataSpec) -> None:
    parent = registry.register(model, data, by="me")
    registry.derive(parent, calibration=MAP, note="", by="monitor")
    rows = registry._metadata.read(lambda tx: tx.list(AuditRow))  # noqa: SLF001 - the store of the fixture
    assert [(row.action, row.by, row.subject) for row in rows] == [
        ("model.added", "me", "cancer"),
        ("version.registered", "me", "cancer"),
        ("version.derived", "monitor", "cancer"),
    ]
    assert rows[1].detail["digest"] == parent.digest
    assert registry.models()[0].owner == "ward"


@pytest.mark.parametrize("name", ["", "Churn", "9lives", "a b", "../x", "x" * 70])
def test_what_is_no_models_name_is_refused_first(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidRequest, match="no name for a model"):
        registry.register(ModelSpec(name=name, source="missing.onnx"), DataSpec(reference="missing.csv"), by="me")


def test_without_a_reference_table_nothing_is_registered(registry: Registry, model: ModelSpec) -> None:
    with pytest.raises(InvalidRequest, match="no reference table") as caught:
        registry.register(model, DataSpec(), by="me")
    assert "--data" in str(caught.value.hint)


def test_what_goes_wrong_leaves_no_rows(registry: Registry, model: ModelSpec, data: DataSpec, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        registry.register(model, replace(data, reference=str(tmp_path / "missing.csv")), by="me")
    few = {f"x{i}": X[:20, i] for i in range(5)}
    Sheets().to_parquet({**few, "y": Y[:20].astype(float)}, str(tmp_path / "few.parquet"))
    with pytest.raises(SchemaMismatch):
        registry.register(model, DataSpec(reference=str(tmp_path / "few.parquet")), by="me")
    assert registry.models() == ()


def test_a_reference_without_labels_still_gives_a_profile(registry: Registry, model: ModelSpec, tmp_path: Path) -> None:
    Sheets().to_parquet({f"x{i}": X[:, i] for i in range(5)}, str(tmp_path / "bare.parquet"))
    bare = DataSpec(reference=str(tmp_path / "bare.parquet"))
    version = registry.register(replace(model, target=""), bare, by="me")
    assert (version.manifest.signature.positive, version.manifest.profile_file) == ("1", "profile.bin")


def test_a_failed_write_leaves_no_version(
    registry: Registry, model: ModelSpec, data: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def record(self, _: object, **__: object) -> AuditRow:
            message = "full"
            raise StoreError(message)

    monkeypatch.setattr(registry, "_auditor", Full())
    with pytest.raises(StoreError):
        registry.register(model, data, by="me")
    assert registry._metadata.read(lambda tx: tx.list(ModelVersion)) == ()  # noqa: SLF001 - the store of the fixture
