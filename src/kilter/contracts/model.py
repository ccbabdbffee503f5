"""Models and their immutable versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.signature import Signature

__all__ = ["Conversion", "FileEntry", "Manifest", "Model", "ModelVersion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a version: relative POSIX path, size and content digest (also its blob's name)."""

    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How the runtime file came from the original, and how far the two agree on held-out rows."""

    source_format: str
    converted: bool
    reason: str
    rows: int = 0
    max_abs_difference: float | None = None
    label_flips: int = 0
    rounding_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that makes a version what it is; its canonical JSON gives the version's digest.

    ``runtime`` names the format plug-in that runs ``runtime_file`` (a path among ``files``).
    ``golden_file`` holds stored rows with their recorded answers, ``profile_file`` the reference
    profile; both are paths among ``files`` or empty. ``threshold`` turns a binary score into a label.
    """

    signature: Signature
    runtime: str
    runtime_file: str
    files: tuple[FileEntry, ...]
    conversion: Conversion
    calibration: CalibrationMap | None = None
    threshold: float = 0.5
    golden_file: str = ""
    profile_file: str = ""
    parent: Digest | None = None
    trusted: bool = False

    def entry(self, path: str) -> FileEntry:
        """Return the entry of a path.

        Raises
        ------
        KeyError
            If the manifest lists no such path.
        """
        for entry in self.files:
            if entry.path == path:
                return entry
        raise KeyError(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A named line of versions."""

    id: ModelId
    name: str
    created_at: datetime
    owner: str = ""
    purpose: str = ""
    risk: str = "limited"
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One immutable version of a model; ``number`` counts from 1 within the model.

    ``origin`` says how it came to be: ``added``, ``recalibrated`` or ``retrained``.
    """

    id: VersionId
    model_id: ModelId
    model_name: str
    number: int
    digest: Digest
    manifest: Manifest
    origin: str
    source: str
    created_at: datetime
    parent_number: int | None = None
    trigger_id: str = ""
    note: str = ""
