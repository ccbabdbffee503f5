"""The ports of model formats: recognise, load, run, convert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kilter.contracts.signature import Signature

if TYPE_CHECKING:
    from kilter.contracts.batch import Batch, Scores
    from kilter.contracts.ids import Digest

__all__ = ["FormatSpec", "Imported", "Importer", "IsolatedModel", "LoadedModel", "ModelFormat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSpec:
    """What a format is: the suffixes of its files, and whether loading one can run code of its author.

    ``safe_suffixes`` are those of its files that cannot, although others of the format can.
    """

    name: str
    suffixes: tuple[str, ...]
    runs_code: bool
    safe_suffixes: tuple[str, ...] = ()


class LoadedModel(Protocol):
    """A model in memory.

    Guarantees: ``run`` is deterministic, does not change the batch, and gives the same answer for a row
    alone and among others. One thread at a time may call it with a single row; another one may call it
    with several rows meanwhile.
    """

    def run(self, batch: Batch) -> Scores:
        """Score the rows.

        Raises
        ------
        ModelFailed
            If the model raises or answers with an illegal shape.
        """
        ...

    def close(self) -> None:
        """Let go of memory and processes.

        Raises
        ------
        Nothing
        """
        ...


@runtime_checkable
class IsolatedModel(LoadedModel, Protocol):
    """A model in a process of its own, which may die without harm to anything else.

    Guarantees: one thread calls ``run`` and ``revive``; the others may be read from any. A ``run`` that ends
    because its process died, or was ended for taking longer than ``patience_s``, raises ModelFailed and
    adds one to ``falls``; any other ModelFailed leaves the process alive.
    """

    falls: int
    patience_s: float

    def wait_s(self) -> float:
        """Return the expected seconds until the process can take a call: 0 while it lives.

        Raises
        ------
        Nothing
        """
        ...

    def rest_s(self) -> float:
        """Return the seconds that must pass before the process may be started again; 0 from then on.

        Raises
        ------
        Nothing
        """
        ...

    def revive(self) -> None:
        """Start the process again if it is gone, and wait until it can take calls.

        Raises
        ------
        ModelFailed
            If it does not come up, which is one more fall, or its time to rest is not over.
        """
        ...


class ModelFormat(Protocol):
    """One kind of model file that the data plane can run."""

    def load(self, path: str, signature: Signature) -> LoadedModel:
        """Load a verified file.

        Raises
        ------
        FormatError
            If the file is corrupt, truncated or does not fit the signature.
        UnsafeArtifact
            If loading it would run code and this process may not.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A user's file, turned into something servable.

    ``files`` maps relative paths to bytes (the original included); ``runtime`` names the format that
    runs ``runtime_file``.
    """

    signature: Signature
    runtime: str
    runtime_file: str
    files: dict[str, bytes]
    source_format: str
    converted: bool
    reason: str
    rows: int = 0
    max_abs_difference: float | None = None
    label_flips: int = 0
    rounding_rows: int = 0
    warnings: tuple[str, ...] = field(default=())


class Importer(Protocol):
    """Reads a user's model file and infers what it takes and gives.

    Guarantees: a file that can run code is loaded only with consent, in a child process with an
    allow-list of globals, never here.
    """

    def fingerprint(self, path: str) -> Digest:
        """Return the digest of a file's bytes, without reading them as a model.

        Raises
        ------
        NotFound
            If there is no such file.
        FormatError
            If it is a folder, empty, unreadable, or of no known kind.
        """
        ...

    def read(self, path: str, reference: ReferenceTable, *, trust: bool) -> Imported:
        """Inspect, load, convert and compare one model file.

        Raises
        ------
        NotFound
            If there is no such file.
        UnsafeArtifact
            If the file would run code and ``trust`` is false, or names a global that is not allowed.
        FormatError
            If the file is corrupt, truncated or of no known kind, or conversion is impossible.
        SchemaMismatch
            If the model does not fit the reference table.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTable:
    """The reference data as the importer needs it: an Arrow IPC stream, and which column is the target.

    ``ignored`` names columns (ids, times) that are no inputs of a model which does not name its own.
    """

    arrow_ipc: bytes
    target: str
    positive: str = ""
    task: str = "auto"
    ignored: tuple[str, ...] = ()
