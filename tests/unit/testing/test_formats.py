"""The kit is itself tested: for each clause a driver that breaks its promise is caught."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, KilterError
from kilter.testing.formats import FORMATS, FormatCase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilter.contracts.format import LoadedModel
    from kilter.testing.estimators import Untyped
    from kilter.testing.formats import FormatClause

SIGNATURE = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
SOUND = b"sound" * 100
VALUES = np.linspace(0.0, 1.0, 80).reshape(-1, 1)
BATCH = Batch(rows=80, numeric=VALUES, text=np.empty((80, 0), dtype=object))


class Formula:
    def __init__(self, function: Callable[[Untyped], Untyped]) -> None:
        self.function = function

    def run(self, batch: Batch) -> Scores:
        return Scores(values=self.function(batch.numeric))

    def close(self) -> None:
        pass


class Driver:
    """A sound driver, unless told how to break."""

    def __init__(self, function: Callable[[Untyped], Untyped] = lambda x: x[:, 0].copy(), hint: str = "do") -> None:
        self.function = function
        self.hint = hint
        self.loads = 0

    def load(self, path: str, _: Signature) -> LoadedModel:
        self.loads += 1
        with open(path, "rb") as file:  # noqa: PTH123 - the port takes text
            if file.read() != SOUND:
                message = "broken"
                raise FormatError(message, hint=self.hint)
        return Formula(self.function)


class Trusting(Driver):
    def load(self, path: str, _: Signature) -> LoadedModel:
        assert path
        return Formula(self.function)


class Moody(Driver):
    def load(self, path: str, signature: Signature) -> LoadedModel:
        super().load(path, signature)
        loads = self.loads
        return Formula(lambda x: x[:, 0] + loads)


def overwrite(x: Untyped) -> Untyped:
    x[:, 0] = 0.0
    return x[:, 0]


BROKEN = (
    Driver(lambda x: x[:, 0] + 1.0),
    Moody(),
    Driver(lambda x: x[:, 0] - x.mean()),
    Driver(overwrite),
    Driver(lambda x: x),
    Trusting(),
    Driver(hint=""),
    Trusting(),
)


@pytest.fixture
def case(tmp_path: Path) -> FormatCase:
    (tmp_path / "model.bin").write_bytes(SOUND)
    return FormatCase(path=tmp_path / "model.bin", signature=SIGNATURE, batch=BATCH, expected=VALUES[:, 0])


@pytest.mark.parametrize("clause", FORMATS, ids=lambda clause: clause.__name__)
def test_a_sound_driver_passes(clause: FormatClause, case: FormatCase, tmp_path: Path) -> None:
    clause(Driver(), case, tmp_path)


@pytest.mark.parametrize(
    ("clause", "broken"), list(zip(FORMATS, BROKEN, strict=True)), ids=[clause.__name__ for clause in FORMATS]
)
def test_a_driver_that_breaks_the_clause_is_caught(
    clause: FormatClause, broken: Driver, case: FormatCase, tmp_path: Path
) -> None:
    with pytest.raises((AssertionError, KilterError, ValueError)):
        clause(broken, case, tmp_path)
