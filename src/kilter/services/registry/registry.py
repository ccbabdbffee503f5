"""Registers model files as immutable versions, and finds them again."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import numpy as np

from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, FileEntry, Manifest, Model, ModelVersion
from kilter.errors import InvalidRequest
from kilter.measures.rows import label_indexes
from kilter.services.registry.evidence import acceptable, golden, request_for, sampled, source_of
from kilter.services.registry.shelf import SOURCE, Shelf
from kilter.settings.value import model_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.calibration import CalibrationMap
    from kilter.contracts.clock import Clock
    from kilter.contracts.format import Imported, Importer
    from kilter.contracts.metadata import MetadataStore, WriteTx
    from kilter.contracts.scoring import Auditor, IdSource, Progress, Scorer
    from kilter.contracts.signature import Signature
    from kilter.contracts.spec import DataSpec, ModelSpec
    from kilter.contracts.table import Table, TableReader

__all__ = ["Profiler", "Registry"]

GOLDEN: Final = "golden.json"
PROFILE: Final = "profile.bin"
REFERENCE: Final = "reference.arrow"

_PAGE: Final = 5_000


class Profiler(Protocol):
    """Builds the bytes of a reference profile."""

    def __call__(
        self, signature: Signature, columns: Columns, scores: Array, labels: Array | None, /, *, threshold: float
    ) -> bytes:
        """Profile rows that a version has scored; raises SchemaMismatch below 50 rows."""
        ...


class Registry(Shelf):
    """A ``VersionBook`` over metadata and blobs.

    Guarantees: a version never changes; the same file with the same reference, target and positive class
    is one version, however often it is registered; blobs are stored before the row that names them, and
    rows and audit appear together or not at all. Safe from several processes, not from several threads.

    Parameters
    ----------
    metadata, blobs, importer, tables, scorer, auditor, clock, ids
        The ports of these names.
    materialise : callable
        Turns a digest and a file name into the path of a verified local file.
    profile : Profiler
        Builds the reference profile.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        blobs: BlobStore,
        importer: Importer,
        tables: TableReader,
        scorer: Scorer,
        materialise: Callable[[Digest, str], str],
        profile: Profiler,
        auditor: Auditor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        super().__init__(metadata)
        self._blobs = blobs
        self._importer = importer
        self._tables = tables
        self._scorer = scorer
        self._materialise = materialise
        self._profile = profile
        self._auditor = auditor
        self._clock = clock
        self._ids = ids

    def reference(self, version: ModelVersion) -> Table:
        """Return the rows that a version was registered with: at most 50,000, target included.

        Raises
        ------
        NotFound, ChecksumMismatch
            If the rows are gone or damaged.
        """
        return self._tables.read(self._materialise(version.manifest.entry(REFERENCE).digest, REFERENCE))

    def register(
        self,
        model: ModelSpec,
        data: DataSpec,
        *,
        by: str,
        origin: str = "added",
        parent: ModelVersion | None = None,
        trigger_id: str = "",
        progress: Progress | None = None,
    ) -> ModelVersion:
        """Register ``model.source`` with ``data.reference`` as a new version (the same bytes: the same version).

        Parameters
        ----------
        model : ModelSpec
            Name, file, target, task, positive class and consent.
        data : DataSpec
            The reference table, and which of its columns are no inputs.
        by : str
            Who asked, for the audit log.
        origin : str
            ``added`` or ``retrained``.
        parent : ModelVersion or None
            The version that a retrained one is to replace.
        trigger_id : str
            The request to retrain.
        progress : callable or None
            Told the share done and what is being done.

        Returns
        -------
        ModelVersion

        Raises
        ------
        InvalidRequest
            If the name is not a model's name, or there is no reference table.
        NotFound
            If a file does not exist.
        UnsafeArtifact
            If the file would run code and is not trusted, or names what is not allowed.
        FormatError
            If the file cannot be read or converted.
        SchemaMismatch
            If model and data do not fit.
        """
        tell = progress or _silent
        _require_name(model.name)
        if not data.reference:
            msg = f"model `{model.name}` has no reference table"
            raise InvalidRequest(
                msg,
                why="its signature, ranges and reference profile are read from one",
                hint="name a table with `--data`, best rows that the model was not trained on",
            )
        tell(0.0, "reading the reference table")
        fingerprint = self._importer.fingerprint(model.source)
        table = sampled(self._tables.read(data.reference))
        source = source_of(model, data, fingerprint, table)
        known = self.made_from(model.name, Digest("sha256:" + hashlib.sha256(source).hexdigest()))
        if known is not None:
            tell(1.0, "already registered")
            return known
        tell(0.1, "reading and converting the model")
        imported = self._importer.read(model.source, request_for(self._tables, table, model, data), trust=model.trust)
        tell(0.7, "storing files")
        files = {**imported.files, REFERENCE: self._tables.to_arrow(table), SOURCE: source}
        manifest = self._manifest(imported, files, parent=parent, is_trusted=model.trust)
        tell(0.8, "scoring the reference rows")
        draft = self._draft(model.name, manifest, origin=origin, source=PurePath(model.source).name, parent=parent)
        draft = replace(draft, trigger_id=trigger_id, note="; ".join(imported.warnings))
        finished = replace(draft, manifest=self._with_evidence(draft, table))
        tell(0.95, "recording the version")
        return self._commit(finished, model=model, by=by, action="version.registered")

    def derive(self, parent: ModelVersion, *, calibration: CalibrationMap, note: str, by: str) -> ModelVersion:
        """Register a version with the same weights and another calibration map (same map: the same version).

        Parameters
        ----------
        parent : ModelVersion
            The version whose weights are kept.
        calibration : CalibrationMap
            The new map; it replaces the parent's, it is not put on top of it.
        note : str
            Why.
        by : str
            Who asked, for the audit log.

        Returns
        -------
        ModelVersion
            With a reference profile of its own, from the parent's reference rows.

        Raises
        ------
        NotFound, ChecksumMismatch
            If files of the parent are gone or damaged.
        StoreError
            If it cannot be stored.
        """
        base = replace(parent.manifest, calibration=calibration, parent=parent.digest)
        draft = self._draft(parent.model_name, base, origin="recalibrated", source=parent.source, parent=parent)
        manifest = self._with_evidence(draft, self.reference(parent))
        return self._commit(replace(draft, manifest=manifest, note=note), model=None, by=by, action="version.derived")

    def _manifest(
        self, imported: Imported, files: dict[str, bytes], *, parent: ModelVersion | None, is_trusted: bool
    ) -> Manifest:
        """Store the files and list them."""
        entries = tuple(self._store(path, files[path]) for path in sorted(files))
        conversion = Conversion(
            source_format=imported.source_format,
            converted=imported.converted,
            reason=imported.reason,
            rows=imported.rows,
            max_abs_difference=imported.max_abs_difference,
            label_flips=imported.label_flips,
            rounding_rows=imported.rounding_rows,
        )
        return Manifest(
            signature=imported.signature,
            runtime=imported.runtime,
            runtime_file=imported.runtime_file,
            files=entries,
            conversion=conversion,
            parent=None if parent is None else parent.digest,
            trusted=is_trusted,
        )

    def _with_evidence(self, draft: ModelVersion, table: Table) -> Manifest:
        """Score the reference rows; add golden rows and the reference profile."""
        manifest = draft.manifest
        columns = acceptable(manifest.signature, table)
        scored = self._scorer.score(draft, columns)
        target = manifest.signature.target
        labels = label_indexes(manifest.signature, columns[target]) if target in columns else None
        added = {
            GOLDEN: golden(manifest.signature, columns, np.asarray(scored.raw)),
            PROFILE: self._profile(manifest.signature, columns, scored.scores, labels, threshold=manifest.threshold),
        }
        kept = [entry for entry in manifest.files if entry.path not in added]
        entries = sorted(
            [*kept, *(self._store(path, data) for path, data in added.items())], key=lambda entry: entry.path
        )
        return replace(manifest, files=tuple(entries), golden_file=GOLDEN, profile_file=PROFILE)

    def _store(self, path: str, data: bytes) -> FileEntry:
        """Store one file."""
        return FileEntry(path=path, size_bytes=len(data), digest=self._blobs.put(data))

    def _draft(
        self, name: str, manifest: Manifest, *, origin: str, source: str, parent: ModelVersion | None
    ) -> ModelVersion:
        """Make a version that has no number or digest yet."""
        return ModelVersion(
            id=VersionId(self._ids.new("ver")),
            model_id=ModelId(""),
            model_name=name,
            number=0,
            digest=Digest(""),
            manifest=manifest,
            origin=origin,
            source=source,
            created_at=self._clock.now(),
            parent_number=None if parent is None else parent.number,
        )

    def _commit(self, draft: ModelVersion, *, model: ModelSpec | None, by: str, action: str) -> ModelVersion:
        """Give the version its digest and number, in one transaction with its audit row."""
        digest = self._blobs.put(msgspec.json.encode(draft.manifest, order="sorted"))

        def write(tx: WriteTx) -> ModelVersion:
            line = self._line(tx, draft, model, by)
            siblings = tx.list(ModelVersion, where={"model_id": line.id}, limit=_PAGE)
            for sibling in siblings:
                if sibling.digest == digest:
                    return sibling
            number = max((sibling.number for sibling in siblings), default=0) + 1
            version = replace(draft, model_id=line.id, number=number, digest=digest)
            tx.add(version)
            self._auditor.record(
                tx,
                by=by,
                action=action,
                subject=line.name,
                detail={
                    "number": number,
                    "digest": digest,
                    "runtime": version.manifest.runtime,
                    "origin": version.origin,
                    "source": version.source,
                    "reason": version.manifest.conversion.reason,
                },
            )
            return version

        return self._metadata.write(write)

    def _line(self, tx: WriteTx, draft: ModelVersion, spec: ModelSpec | None, by: str) -> Model:
        """Return the model that a version belongs to, made if it is the first."""
        for found in tx.list(Model, where={"name": draft.model_name}):
            return found
        model = Model(
            id=ModelId(self._ids.new("model")),
            name=draft.model_name,
            created_at=draft.created_at,
            owner=spec.owner if spec else "",
            purpose=spec.purpose if spec else "",
            risk=spec.risk if spec else "limited",
        )
        tx.add(model)
        self._auditor.record(tx, by=by, action="model.added", subject=model.name, detail={"risk": model.risk})
        return model


def _silent(share: float, what: str) -> None:
    """Tell nobody."""


def _require_name(name: str) -> None:
    """Refuse what is no model's name."""
    try:
        model_name(name)
    except ValueError as error:
        msg = f"`{name}` is no name for a model: {error}"
        raise InvalidRequest(msg, hint="use lower-case letters, digits and `-`, a letter first") from error
