"""A small world for rollouts: versions, gates, a log and ids, all in memory."""

# ruff: noqa: ARG002 - fakes take what their ports say

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.deployment import Deployment
from kilter.contracts.evidence import AuditRow
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.metadata import MetadataStore
from kilter.contracts.model import Conversion, FileEntry, Manifest, ModelVersion
from kilter.contracts.scoring import Scored
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.spec import DataSpec, DeploymentSpec, ModelSpec, RolloutSpec
from kilter.contracts.verdict import CheckRun, OnFail, Verdict, VerdictState
from kilter.errors import UnknownName
from kilter.testing.rows import LoggedRow, LogTable, joined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.calibration import CalibrationMap
    from kilter.contracts.metadata import WriteTx
    from kilter.contracts.scoring import Progress
    from kilter.contracts.verdict import GateRule

__all__ = [
    "SIGNATURE",
    "START",
    "Book",
    "FormulaScorer",
    "Gates",
    "Ids",
    "LogTable",
    "LoggedRow",
    "Notes",
    "Watch",
    "deployed",
    "joined",
    "spec",
    "version",
]

START = datetime(2026, 1, 1, tzinfo=UTC)
_NOUN = "version"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(
    task=Task.BINARY,
    target="y",
    columns=(Column(name="x", type=ColumnType.FLOAT),),
    classes=("0", "1"),
    positive="1",
)


def spec(*, rollout: RolloutSpec | None = None, holdout: str = "holdout.csv", name: str = "d") -> DeploymentSpec:
    """Return a deployment whose rollouts are quick."""
    quick = RolloutSpec(steps=(5, 25), step_min_s=0.0, min_units=10, margins=(("error", 0.1), ("loss", 0.05)))
    return DeploymentSpec(
        model=ModelSpec(name=name, source="model.onnx"), data=DataSpec(holdout=holdout), rollout=rollout or quick
    )


def version(number: int, *, name: str = "d", origin: str = "added", parent: int | None = None) -> ModelVersion:
    """Return a version; a recalibrated one shares its parent's runtime file."""
    weights = parent if origin == "recalibrated" and parent is not None else number
    entry = FileEntry(path="model.onnx", size_bytes=1, digest=_digest(f"weights {weights}"))
    return ModelVersion(
        id=VersionId(f"ver_{number:04d}"),
        model_id=ModelId("model_1"),
        model_name=name,
        number=number,
        digest=_digest(f"version {number}"),
        manifest=Manifest(
            signature=SIGNATURE,
            runtime="onnx",
            runtime_file="model.onnx",
            files=(entry,),
            conversion=Conversion(source_format="onnx", converted=False, reason=""),
        ),
        origin=origin,
        source="model.onnx",
        created_at=START,
        parent_number=parent,
    )


@dataclass
class Watch:
    """Implements ``Clock``; moved by hand."""

    at: datetime = START

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at

    def time_ns(self) -> int:
        """Return it in nanoseconds."""
        return _ns(self.at)

    def on(self, hours: float) -> datetime:
        """Move forward and return the new time."""
        self.at += timedelta(hours=hours)
        return self.at


@dataclass
class Ids:
    """Implements ``IdSource`` by counting."""

    count: int = 0

    def new(self, prefix: str) -> str:
        """Return the next id."""
        self.count += 1
        return f"{prefix}_{self.count:06d}"


@dataclass
class Notes:
    """Implements ``Auditor``: rows without a chain."""

    def record(
        self,
        tx: WriteTx,
        *,
        by: str,
        action: str,
        subject: str,
        detail: Mapping[str, str | int | float | bool | None],
    ) -> AuditRow:
        """Append a row."""
        last = tx.list(AuditRow, limit=1, newest_first=True)
        row = AuditRow(
            id=f"{int(last[0].id) + 1 if last else 1:012d}",
            at=START,
            by=by,
            action=action,
            subject=subject,
            detail=detail,
            previous="",
            digest="",
        )
        tx.add(row)
        return row


@dataclass
class Book:
    """Implements ``VersionBook`` over metadata; what is registered next is set by hand."""

    metadata: MetadataStore
    registered: list[ModelSpec] = field(default_factory=list)

    def add(self, *versions: ModelVersion) -> None:
        """Store versions."""
        for one in versions:
            self.metadata.write(lambda tx, one=one: tx.add(one))  # type: ignore[misc]

    def resolve(self, reference: str) -> ModelVersion:
        """Find ``name@number``."""
        name, _, number = reference.partition("@")
        found = self.metadata.read(lambda tx: tx.list(ModelVersion, where={"model_name": name}))
        for one in found:
            if str(one.number) == number:
                return one
        raise UnknownName.among(_NOUN, reference, [f"{name}@{one.number}" for one in found])

    def derive(self, parent: ModelVersion, *, calibration: CalibrationMap, note: str, by: str) -> ModelVersion:
        """Store the parent under another map, once."""
        digest = _digest(f"{parent.digest} {calibration}")
        return self._once(replace(parent, digest=digest, origin="recalibrated", parent_number=parent.number, note=note))

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
        """Store a version for a file, once per path."""
        self.registered.append(model)
        made = version(0, name=model.name, origin=origin)
        number = None if parent is None else parent.number
        return self._once(
            replace(
                made, digest=_digest(model.source), trigger_id=trigger_id, parent_number=number, source=model.source
            )
        )

    def _once(self, made: ModelVersion) -> ModelVersion:
        """Store a version under the next number unless its digest is known."""

        def write(tx: WriteTx) -> ModelVersion:
            book = tx.list(ModelVersion, where={"model_name": made.model_name})
            known = [one for one in book if one.digest == made.digest]
            if known:
                return known[0]
            number = len(book) + 1
            stored = replace(made, number=number, id=VersionId(f"ver_{number:04d}"))
            tx.add(stored)
            return stored

        return self.metadata.write(write)


@dataclass
class Gates:
    """Implements ``GateRunner`` with an answer set by hand."""

    state: VerdictState = VerdictState.PASS
    on_fail: OnFail = OnFail.BLOCK
    more: tuple[Verdict, ...] = ()
    runs: list[int] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

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
        """Answer, and remember who was judged."""
        self.runs.append(version.number)
        self.data.append(data_path)
        verdict = Verdict(gate="log_loss.limit", state=self.state, reason="as the test says", on_fail=self.on_fail)
        return CheckRun(
            id=f"check_{len(self.runs)}",
            version_id=version.id,
            model_name=version.model_name,
            number=version.number,
            data_name=data_path,
            data_digest="",
            rows=100,
            state=self.state,
            verdicts=(verdict, *self.more),
            readings=(),
            created_at=START,
            seconds=0.0,
        )


@dataclass
class FormulaScorer:
    """Implements ``Scorer``: each version answers with a fixed quality, 1 = the truth in column x."""

    quality: dict[int, float] = field(default_factory=dict)

    def score(self, version: ModelVersion, columns: Columns) -> Scored:
        """Score rows: quality 1 says x, quality 0 says one half."""
        x = np.asarray(columns["x"], dtype=np.float64)
        p = 0.5 + (x - 0.5) * self.quality.get(version.number, 0.0)
        scores = np.stack([1.0 - p, p], axis=1)
        return Scored(raw=scores, scores=scores)

    def durations_ms(self, version: ModelVersion, columns: Columns, *, calls: int) -> Array:
        """Take one millisecond each."""
        return np.ones(calls)


def deployed(metadata: MetadataStore, state: DeploymentSpec, champion: int = 1) -> Deployment:
    """Store a deployment with a champion."""
    made = Deployment(
        id=state.model.name,
        spec=state,
        champion=champion,
        previous=None,
        generation=0,
        created_at=START,
        updated_at=START,
    )
    metadata.write(lambda tx: tx.add(made))
    return made


def _digest(text: str) -> Digest:
    """Return the digest of a text."""
    return Digest("sha256:" + sha256(text.encode()).hexdigest())


def _ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
