"""Conformance kit of model formats: what every driver must do, one clause a function.

A clause is given the driver, one sound file with its rows and right answers, and an empty folder. Run all
of ``FORMATS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
from kilter.contracts.format import ModelFormat
from kilter.contracts.signature import Signature
from kilter.errors import FormatError, KilterError, UnsafeArtifact
from kilter.testing.promise import raises, require

__all__ = ["FORMATS", "FormatCase", "FormatClause", "rows_of"]

_MANY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatCase:
    """A sound file of the format, at least 64 rows for it, and the answers that are right."""

    path: Path
    signature: Signature
    batch: Batch
    expected: NDArray[np.float64]
    tolerance: float = 1e-5


FormatClause: TypeAlias = Callable[[ModelFormat, FormatCase, Path], None]


def rows_of(batch: Batch, start: int, stop: int) -> Batch:
    """Cut rows out of a batch."""
    numeric = np.asarray(batch.numeric)[start:stop]
    return Batch(rows=numeric.shape[0], numeric=numeric, text=np.asarray(batch.text)[start:stop])


def answers_are_those_of_the_original(driver: ModelFormat, case: FormatCase, _: Path) -> None:
    """The file answers what the model behind it answers."""
    largest = float(np.abs(_answers(driver, case, case.batch) - case.expected).max())
    require(largest <= case.tolerance, f"answers differ from the original's by up to {largest:.2g}")


def loading_twice_gives_the_same_answers(driver: ModelFormat, case: FormatCase, _: Path) -> None:
    """The same file and the same rows always give the same answers."""
    first, second = _answers(driver, case, case.batch), _answers(driver, case, case.batch)
    require(np.array_equal(first, second), "the same file gives the same answers")


def a_row_alone_is_answered_as_among_others(driver: ModelFormat, case: FormatCase, _: Path) -> None:
    """64 rows at once are answered as 64 single rows."""
    model = driver.load(str(case.path), case.signature)
    try:
        together = np.asarray(model.run(rows_of(case.batch, 0, _MANY)).values)
        alone = [np.asarray(model.run(rows_of(case.batch, i, i + 1)).values) for i in range(_MANY)]
    finally:
        model.close()
    require(np.allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-6), "a row is answered as among others")


def the_batch_is_not_changed(driver: ModelFormat, case: FormatCase, _: Path) -> None:
    """Arrays that cannot be written to are good enough."""
    numeric, text = np.array(case.batch.numeric), np.array(case.batch.text)
    numeric.flags.writeable = text.flags.writeable = False
    _answers(driver, case, Batch(rows=case.batch.rows, numeric=numeric, text=text))


def answers_fit_the_signature(driver: ModelFormat, case: FormatCase, _: Path) -> None:
    """Answers are float64: a row per row, a column per class."""
    width = (len(case.signature.classes),) if case.signature.classes else ()
    for size in (1, case.batch.rows):
        got = _answers(driver, case, rows_of(case.batch, 0, size))
        require(got.dtype == np.float64 and got.shape == (size, *width), f"answers for {size} rows fit the signature")


def a_file_cut_short_is_refused(driver: ModelFormat, case: FormatCase, folder: Path) -> None:
    """Half a file is refused with a hint."""
    data = case.path.read_bytes()
    _refused(driver, case, folder, data[: len(data) // 2])


def a_file_of_noise_is_refused(driver: ModelFormat, case: FormatCase, folder: Path) -> None:
    """What is no model is refused with a hint."""
    _refused(driver, case, folder, np.random.default_rng(0).bytes(4_096))


def an_empty_file_is_refused(driver: ModelFormat, case: FormatCase, folder: Path) -> None:
    """No bytes at all are refused with a hint."""
    _refused(driver, case, folder, b"")


def _refused(driver: ModelFormat, case: FormatCase, folder: Path, data: bytes) -> None:
    """Expect FormatError or UnsafeArtifact, with a hint."""
    file = folder / f"broken{case.path.suffix}"
    file.write_bytes(data)
    error = raises(KilterError, lambda: driver.load(str(file), case.signature), "loading a broken file")
    require(isinstance(error, FormatError | UnsafeArtifact), "a broken file is a FormatError or UnsafeArtifact")
    require(bool(getattr(error, "hint", None)), "the refusal says what to do")


def _answers(driver: ModelFormat, case: FormatCase, batch: Batch) -> NDArray[np.float64]:
    """Load, run, close."""
    model = driver.load(str(case.path), case.signature)
    try:
        return np.asarray(model.run(batch).values)
    finally:
        model.close()


FORMATS: tuple[FormatClause, ...] = (
    answers_are_those_of_the_original,
    loading_twice_gives_the_same_answers,
    a_row_alone_is_answered_as_among_others,
    the_batch_is_not_changed,
    answers_fit_the_signature,
    a_file_cut_short_is_refused,
    a_file_of_noise_is_refused,
    an_empty_file_is_refused,
)
"""Clauses for every ``ModelFormat``."""
