from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.deployment import Deployment
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, FileEntry, Manifest, Model, ModelVersion
from kilter.contracts.signature import Signature, Task
from kilter.contracts.spec import DeploymentSpec, ModelSpec
from kilter.errors import UnknownName
from kilter.services.registry.shelf import SOURCE, Shelf
from kilter.stores.memory import MemoryMetadata

if TYPE_CHECKING:
    from kilter.contracts.metadata import WriteTx

AT = datetime(2026, 1, 1, tzinfo=UTC)


def version(number: int, digest: str, calibration: CalibrationMap | None = None) -> ModelVersion:
    manifest = Manifest(
        signature=Signature(task=Task.REGRESSION, target="y", columns=()),
        runtime="onnx",
        runtime_file="m.onnx",
        files=(FileEntry(path=SOURCE, size_bytes=1, digest=Digest(f"sha256:source{number}")),),
        conversion=Conversion(source_format="onnx", converted=False, reason=""),
        calibration=calibration,
    )
    return ModelVersion(
        id=VersionId(f"ver_{number:03d}"), model_id=ModelId("model_1"), model_name="churn", number=number,
        digest=Digest(digest), manifest=manifest, origin="added", source="m.onnx", created_at=AT,
    )  # fmt: skip


@pytest.fixture
def shelf() -> Shelf:
    metadata = MemoryMetadata()

    def fill(tx: WriteTx) -> None:
        tx.add(Model(id=ModelId("model_1"), name="churn", created_at=AT))
        tx.add(version(1, "sha256:aaaaaa11" + "0" * 56))
        tx.add(version(2, "sha256:aaaaaa22" + "0" * 56, CalibrationMap(a=1.0, b=1.0, c=0.0, n=9)))
        tx.add(version(3, "sha256:bbbbbb33" + "0" * 56))

    metadata.write(fill)
    return Shelf(metadata)


def deploy(shelf: Shelf, champion: int | None, previous: int | None) -> None:
    spec = DeploymentSpec(model=ModelSpec(name="churn", source="m.onnx"))
    deployment = Deployment(
        id="churn", spec=spec, champion=champion, previous=previous, generation=1, created_at=AT, updated_at=AT
    )
    shelf._metadata.write(lambda tx: tx.add(deployment))  # noqa: SLF001 - the store of the fixture


@pytest.mark.parametrize(
    ("reference", "number"),
    [("churn", 3), ("churn@1", 1), ("churn@02", 2), ("churn@sha256:aaaaaa2", 2), ("churn@sha256:bbbbbb", 3)],
)
def test_a_version_is_found_by_number_digest_or_as_the_newest(shelf: Shelf, reference: str, number: int) -> None:
    assert shelf.resolve(reference).number == number


@pytest.mark.parametrize(
    "reference", ["churn@9", "churn@x", "churn@sha256:cccccc", "churn@sha256:aaaaaa", "churn@sha256:bb", "churn@-1"]
)
def test_what_is_unknown_or_ambiguous_names_the_candidates(shelf: Shelf, reference: str) -> None:
    with pytest.raises(UnknownName) as caught:
        shelf.resolve(reference)
    assert caught.value.hint


def test_an_unknown_model_names_the_nearest(shelf: Shelf) -> None:
    with pytest.raises(UnknownName, match="model `churm`") as caught:
        shelf.versions("churm")
    assert "`churn`" in str(caught.value.hint)


def test_live_and_last_good_are_those_of_the_deployment(shelf: Shelf) -> None:
    deploy(shelf, 3, 1)
    assert (shelf.resolve("churn@live").number, shelf.resolve("churn@last_good").number) == (3, 1)


@pytest.mark.parametrize("is_deployed", ["deployed", ""])
def test_without_a_live_version_there_is_none_to_find(shelf: Shelf, is_deployed: str) -> None:
    if is_deployed:
        deploy(shelf, None, None)
    for which in ("live", "last_good"):
        with pytest.raises(UnknownName, match=which) as caught:
            shelf.resolve(f"churn@{which}")
        assert "kilter apply" in str(caught.value.hint)


def test_models_and_versions_are_listed_oldest_first(shelf: Shelf) -> None:
    assert [model.name for model in shelf.models()] == ["churn"]
    assert [item.number for item in shelf.versions("churn")] == [1, 2, 3]


def test_a_source_finds_the_version_made_from_it_but_not_a_calibrated_one(shelf: Shelf) -> None:
    found = shelf.made_from("churn", Digest("sha256:source3"))
    assert found is not None
    assert found.number == 3
    assert shelf.made_from("churn", Digest("sha256:source2")) is None
    assert shelf.made_from("other", Digest("sha256:source3")) is None
