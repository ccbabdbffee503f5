"""A year in the life of one model: versions, gate runs and windows with their numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.calibration import CalibrationMap
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, FileEntry, Manifest, Model, ModelVersion
from kilter.contracts.monitor import LabelCoverage, TrustState, Window
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.verdict import CheckRun, Verdict, VerdictState
from kilter.measures.profile import codec, reference, window

if TYPE_CHECKING:
    from kilter.contracts.blob import BlobStore
    from kilter.contracts.metadata import Record

__all__ = ["END", "NAME", "START", "WINDOW", "versions", "windows"]

NAME = "bike-hourly"
END = datetime(2012, 12, 31, 12, tzinfo=UTC)
START = datetime(2012, 1, 1, tzinfo=UTC)
WINDOW = timedelta(days=14)
_WINDOWS = 25
_ROWS = 336
_CAP = 0.97

_SIGNATURE = Signature(
    task=Task.BINARY,
    target="busy",
    columns=(
        Column(name="temp", type=ColumnType.FLOAT, low=0.0, high=1.0),
        Column(name="hour", type=ColumnType.INTEGER, low=0.0, high=23.0),
        Column(name="weather", type=ColumnType.TEXT, levels=("clear", "mist", "rain")),
        Column(name="humidity", type=ColumnType.FLOAT, low=0.0, high=1.0),
    ),
    classes=("no", "yes"),
    positive="yes",
)


def _rows(seed: int, *, shift: float = 0.0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Make rows, scores of shape (n, 2) and labels; a shift makes it warmer and busier than the scores say."""
    rng = np.random.default_rng(seed)
    n = 1_200 if seed == 0 else _ROWS
    temp = np.clip(rng.normal(0.45 + 0.25 * shift, 0.18, n), 0, 1)
    hour = rng.integers(0, 24, n).astype(np.float64)
    weather = rng.choice(
        np.array(["clear", "mist", "rain"], dtype=object), n, p=[0.6, 0.3 - 0.1 * shift, 0.1 + 0.1 * shift]
    )
    humidity = np.where(rng.random(n) < 0.02 + 0.1 * shift, np.nan, rng.random(n))
    logit = 5 * (temp - 0.5) + np.where((hour > 6) & (hour < 20), 1.0, -1.0)
    chance = 1 / (1 + np.exp(-logit))
    truth = (rng.random(n) < 1 / (1 + np.exp(-(logit + 1.6 * shift)))).astype(np.float64)
    columns = {"temp": temp, "hour": hour, "weather": weather, "humidity": humidity}
    return columns, np.column_stack([1 - chance, chance]), truth


def versions(blobs: BlobStore) -> tuple[bytes, list[Record]]:
    """Return the encoded reference profile, and a model with its versions and their gate runs."""
    columns, scores, labels = _rows(0)
    data = codec.encode_reference(reference.build(_SIGNATURE, columns, scores, labels, threshold=0.5, seed=0))
    entry = FileEntry(path="profile.bin", size_bytes=len(data), digest=blobs.put(data))
    made: list[Record] = [
        Model(id=ModelId("model_1"), name=NAME, created_at=START, owner="operations", purpose="plan the fleet")
    ]
    origins = ("added", "recalibrated", "retrained", "retrained")
    notes = ("", "map fitted on 1,344 labels", "trained on 9,408 rows", "trained with a broken clock")
    for number, (origin, note) in enumerate(zip(origins, notes, strict=True), start=1):
        digest = Digest("sha256:" + f"{number}a7f03c5e1" * 6 + "0000")
        manifest = Manifest(
            signature=_SIGNATURE,
            runtime="onnx",
            runtime_file="model.onnx",
            files=(entry,),
            conversion=Conversion(
                source_format="sklearn", converted=True, reason="faster", rows=1_000, max_abs_difference=3.1e-7
            ),
            calibration=CalibrationMap(a=1.18, b=0.83, c=0.92, n=1_344) if number == 2 else None,
            profile_file="profile.bin",
        )
        at = START + WINDOW * (0, 12, 18, 23)[number - 1]
        version = ModelVersion(
            id=VersionId(f"ver_{number}"),
            model_id=ModelId("model_1"),
            model_name=NAME,
            number=number,
            digest=digest,
            manifest=manifest,
            origin=origin,
            source="models/bike.joblib",
            created_at=at,
            parent_number=number - 1 or None,
            note=note,
        )
        made += [version, _check(version, at)]
    return data, made


def _check(version: ModelVersion, at: datetime) -> CheckRun:
    """Make the gate run of a version."""
    is_bad = version.number == 4
    reading = Reading(
        metric="log_loss",
        estimate=0.61 if is_bad else 0.401,
        low=0.58 if is_bad else 0.383,
        high=0.64 if is_bad else 0.42,
        n=2_400,
        direction=Direction.LOWER,
    )
    gap = Reading(
        metric="expected_calibration_error", estimate=0.021, low=0.012, high=0.034, n=2_400, direction=Direction.LOWER
    )
    verdicts = (
        Verdict(
            gate="schema_faults.zero",
            state=VerdictState.PASS,
            reason="No column is missing, renamed or of another type",
        ),
        Verdict(
            gate="log_loss.no_worse_than",
            state=VerdictState.FAIL if is_bad else VerdictState.PASS,
            reason="Worse than live by 0.21 (0.18 to 0.24), more than the margin of 0.01"
            if is_bad
            else "No worse than live within the margin of 0.01",
            readings=(reading,),
        ),
        Verdict(
            gate="expected_calibration_error.limit",
            state=VerdictState.PASS,
            reason="Below the limit of 0.05 with its whole interval",
            readings=(gap,),
        ),
        Verdict(
            gate="accuracy_score.slices",
            state=VerdictState.INCONCLUSIVE,
            reason="The slice weather=rain has 84 rows; 100 are needed",
            rows_needed=16,
        ),
    )
    return CheckRun(
        id=f"check_{version.number}",
        version_id=version.id,
        model_name=NAME,
        number=version.number,
        data_name="holdout.csv",
        data_digest="sha256:" + "0" * 64,
        rows=2_400,
        state=VerdictState.FAIL if is_bad else VerdictState.PASS,
        verdicts=verdicts,
        readings=(reading, gap),
        created_at=at + timedelta(minutes=2),
        seconds=3.2,
    )


def _shift_at(index: int) -> float:
    """Say how far the world has moved at a window, and whether the live version has learned it."""
    return (0.0 if index < 8 else min(1.0, (index - 8) / 6)) * (
        0.35 if 13 <= index < 19 else 0.1 if index >= 19 else 1.0
    )


def windows(blobs: BlobStore, profile_file: bytes) -> list[Record]:
    """Return a year of windows: fine, then decaying, then repaired twice."""
    known = codec.decode_reference(profile_file)
    made: list[Record] = []
    for index in range(_WINDOWS):
        moved = 0.0 if index < 8 else min(1.0, (index - 8) / 6)
        columns, scores, labels = _rows(index + 1, shift=moved)
        is_mature = index < _WINDOWS - 2
        counted = window.profile(
            columns, known, scores, (scores[:, 1] >= 0.5).astype(np.float64), labels if is_mature else None
        )
        start = START + WINDOW * index
        accuracy = 0.79 - 0.13 * _shift_at(index) + 0.012 * np.sin(index * 2.3)
        gap = 0.02 + 0.13 * _shift_at(index) + 0.006 * np.cos(index * 1.7)
        joined = _ROWS - 3 if is_mature else 190 if index == _WINDOWS - 2 else 41
        made.append(
            Window(
                id=f"{NAME}/{int(start.timestamp() * 1e9):020d}/{index:06d}",
                deployment=NAME,
                number=1 if index < 13 else 2 if index < 19 else 3,
                start_at=start,
                end_at=start + WINDOW,
                rows=_ROWS,
                profile=blobs.put(codec.encode(counted)),
                readings=(
                    *_drift(moved, index),
                    _reading("accuracy_score", 0.785 - 0.05 * _shift_at(index), 0.03, subject="estimate"),
                ),
                is_mature=is_mature,
                coverage=LabelCoverage(
                    predictions=_ROWS, joined=joined, pending=_ROWS - joined, missing=0, delay_p50_s=86_400.0
                ),
                realised=(
                    (
                        _reading("accuracy_score", float(accuracy), 0.045),
                        _reading("brier_score_loss", 0.15 + 0.09 * _shift_at(index), 0.02, direction=Direction.LOWER),
                        _reading(
                            "expected_calibration_error[strategy=quantile,debiased=true]",
                            float(gap),
                            0.02,
                            direction=Direction.LOWER,
                        ),
                    )
                    if is_mature
                    else ()
                ),
                trust=TrustState.DISTRUSTED if 10 <= index < 14 else TrustState.TRUSTED,
                trust_reason="Estimates lay above the truth in 3 of the last 4 windows"
                if 10 <= index < 14
                else "Estimates agreed with the truth in the last 8 windows",
                closed_at=start + WINDOW,
            )
        )
    return made


def _reading(
    metric: str, value: float, half: float, *, subject: str = "model", direction: Direction = Direction.HIGHER
) -> Reading:
    """Make a reading with an interval."""
    return Reading(
        metric=metric,
        subject=subject,
        estimate=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        n=_ROWS,
        direction=direction,
    )


def _drift(moved: float, index: int) -> tuple[Reading, ...]:
    """Make the drift readings of a window."""
    sizes = {
        "temp": 0.02 + 0.34 * moved,
        "hour": 0.015,
        "humidity": 0.02 + 0.03 * moved,
        "weather": 0.02 + 0.11 * moved,
    }
    found = []
    for name, size in sizes.items():
        value = min(_CAP, size + 0.008 * (1 + np.sin(index * 1.9 + len(name))))
        metric = "total_variation" if name == "weather" else "ks"
        found.append(_reading(metric, float(value), 0.02, subject=f"column:{name}", direction=Direction.LOWER))
        found.append(
            Reading(metric="population_stability_index", subject=f"column:{name}", estimate=float(value * 1.4), n=_ROWS)
        )
    found.append(Reading(metric="missing", subject="column:humidity", estimate=0.02 + 0.1 * moved, n=_ROWS))
    return tuple(found)
