"""What a model takes, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Column", "ColumnType", "Signature", "Task"]


class ColumnType(StrEnum):
    """The four types that a column of a model's input or a label can have."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"


class Task(StrEnum):
    """What kind of answer a model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One input column.

    ``low`` and ``high`` are the range seen in the reference (numbers only), ``levels`` the known
    values (text only; empty when there are too many to list).
    """

    name: str
    type: ColumnType
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Input columns in the model's own order, and the meaning of its answer.

    ``classes`` are the labels as text in the order of the model's probabilities (empty for
    regression); ``positive`` is the class whose probability is the score of a binary model.
    """

    task: Task
    target: str
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    positive: str = ""

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the columns that travel in ``Batch.numeric``, in order."""
        return tuple(column.name for column in self.columns if column.type is not ColumnType.TEXT)

    @property
    def text_names(self) -> tuple[str, ...]:
        """Names of the columns that travel in ``Batch.text``, in order."""
        return tuple(column.name for column in self.columns if column.type is ColumnType.TEXT)

    @property
    def positive_index(self) -> int:
        """Position of the positive class among the classes; 0 for other tasks than binary."""
        return self.classes.index(self.positive) if self.positive in self.classes else 0
