"""Ports by which services use one another without knowing one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from kilter.contracts.arrays import Array, Columns

if TYPE_CHECKING:
    from kilter.contracts.calibration import CalibrationMap
    from kilter.contracts.evidence import AuditRow
    from kilter.contracts.metadata import WriteTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.spec import DataSpec, ModelSpec
    from kilter.contracts.verdict import CheckRun, GateRule

__all__ = ["Auditor", "GateRunner", "IdSource", "Progress", "Scored", "Scorer", "VersionBook"]

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the share done (0 to 1) and what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Raw and calibrated answers of one version: float64 (n, classes), or (n,) for regression."""

    raw: Array
    scores: Array


class IdSource(Protocol):
    """Makes new ids.

    Guarantees: ids of one process sort in the order they were made (UUIDv7 with a counter); safe
    from threads.
    """

    def new(self, prefix: str) -> str:
        """Return ``prefix_`` and a UUIDv7, or the bare UUIDv7 for an empty prefix.

        Raises
        ------
        StoreError
            If a replayed clock cannot be read.
        """
        ...


class Auditor(Protocol):
    """Writes the audit chain inside the caller's transaction."""

    def record(
        self,
        tx: WriteTx,
        *,
        by: str,
        action: str,
        subject: str,
        detail: Mapping[str, str | int | float | bool | None],
    ) -> AuditRow:
        """Append one row to the chain.

        Raises
        ------
        StoreError
            If the store fails.
        """
        ...


class Scorer(Protocol):
    """Runs any registered version over columns, off the request path."""

    def score(self, version: ModelVersion, columns: Columns) -> Scored:
        """Score rows given as columns of the version's signature; extra columns are ignored.

        Raises
        ------
        SchemaMismatch
            If a column is missing or has the wrong type.
        ModelFailed
            If the model raises or answers illegally.
        """
        ...

    def durations_ms(self, version: ModelVersion, columns: Columns, *, calls: int) -> Array:
        """Return milliseconds of single-row calls through the loaded runtime, float64 (calls,).

        Raises
        ------
        ModelFailed
            If the model raises.
        """
        ...


class VersionBook(Protocol):
    """Finds and makes versions."""

    def resolve(self, reference: str) -> ModelVersion:
        """Return the version of ``name``, ``name@7``, ``name@live``, ``name@last_good`` or ``name@sha256:ab12``.

        Raises
        ------
        UnknownName
            If there is no such model or version.
        """
        ...

    def derive(self, parent: ModelVersion, *, calibration: CalibrationMap, note: str, by: str) -> ModelVersion:
        """Register a version with the same weights and another calibration map (same map: the same version).

        Raises
        ------
        StoreError
            If it cannot be stored.
        """
        ...

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

        Raises
        ------
        UnsafeArtifact
            If the file would run code and is not trusted.
        FormatError
            If the file cannot be read or converted.
        SchemaMismatch
            If model and data do not fit.
        """
        ...


class GateRunner(Protocol):
    """Runs the gates of a version."""

    def check(
        self,
        version: ModelVersion,
        *,
        data_path: str,
        rules: tuple[GateRule, ...],
        baseline: ModelVersion | None,
        by: str,
        progress: Progress | None = None,
    ) -> CheckRun:
        """Evaluate a version on held-out data and record the run.

        Raises
        ------
        NotFound
            If the data file does not exist.
        SchemaMismatch
            If the data does not fit the signature.
        """
        ...
