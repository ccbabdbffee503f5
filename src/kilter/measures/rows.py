"""Rows between their two shapes: named columns, and the batch that a model takes.

Also the text form of labels, in which they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilter.contracts.arrays import Array

__all__ = ["FloatArray", "TextArray", "batch_of", "columns_of", "decided", "label_indexes", "label_text"]

FloatArray: TypeAlias = "NDArray[np.float64]"
TextArray: TypeAlias = "NDArray[np.object_]"

_EXACT_INTEGERS = float(2**53)


def batch_of(signature: Signature, columns: Mapping[str, Array]) -> Batch:
    """Put named columns into the order of a signature.

    In plain words: picks the columns that the model needs out of a table, in its order.

    Parameters
    ----------
    signature : Signature
        Names and types of the columns wanted.
    columns : mapping of name to array of shape (n,)
        Numbers as float64 with NaN for missing, text as object with None for missing. Further
        columns are ignored.

    Returns
    -------
    Batch
        ``numeric`` of shape (n, numeric columns), ``text`` of shape (n, text columns).

    Raises
    ------
    SchemaMismatch
        If a column is missing, has another length than the first, or holds text where numbers
        belong.

    Notes
    -----
    O(n d) time and memory; one copy into C order.

    References
    ----------
    None; a change of layout.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType
    >>> signature = Signature(
    ...     task=Task.REGRESSION,
    ...     target="y",
    ...     columns=(Column(name="b", type=ColumnType.FLOAT), Column(name="a", type=ColumnType.FLOAT)),
    ... )
    >>> batch_of(signature, {"a": np.array([1.0]), "b": np.array([2.0])}).numeric
    array([[2., 1.]])
    """
    missing = [column.name for column in signature.columns if column.name not in columns]
    if missing:
        shown = ", ".join(f"`{name}`" for name in missing[:5])
        msg = f"{len(missing)} column(s) of the model are missing: {shown}"
        raise SchemaMismatch(
            msg,
            hint="add the columns, or use data with the columns that the model was trained on",
            details={"missing": [*missing]},
        )
    lengths = {name: columns[name].shape[0] for name in (column.name for column in signature.columns)}
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            msg = f"column `{name}` has {length} rows, expected {rows} as in the first column"
            raise SchemaMismatch(msg)
    numeric = np.empty((rows, len(signature.numeric_names)), dtype=np.float64)
    for position, name in enumerate(signature.numeric_names):
        numeric[:, position] = _numbers(name, columns[name])
    text = np.empty((rows, len(signature.text_names)), dtype=np.object_)
    for position, name in enumerate(signature.text_names):
        text[:, position] = _texts(columns[name])
    return Batch(rows=rows, numeric=numeric, text=text)


def columns_of(signature: Signature, batch: Batch) -> dict[str, Array]:
    """Give the columns of a batch their names back.

    In plain words: the reverse of ``batch_of``.

    Parameters
    ----------
    signature : Signature
        The signature that the batch was made for.
    batch : Batch
        Rows in its order.

    Returns
    -------
    dict of name to array of shape (n,)
        Views on the batch, numbers first; do not change them.

    Raises
    ------
    SchemaMismatch
        If the batch has another number of columns than the signature.

    Notes
    -----
    O(d); no copy.

    References
    ----------
    None; a change of layout.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
    >>> batch = Batch(rows=2, numeric=np.array([[1.0], [2.0]]), text=np.empty((2, 0), dtype=object))
    >>> columns_of(signature, batch)["a"]
    array([1., 2.])
    """
    numeric, text = np.asarray(batch.numeric), np.asarray(batch.text)
    expected = (len(signature.numeric_names), len(signature.text_names))
    if (numeric.shape[1], text.shape[1]) != expected:
        msg = (
            f"the batch has {numeric.shape[1]} number and {text.shape[1]} text columns, "
            f"the signature {expected[0]} and {expected[1]}"
        )
        raise SchemaMismatch(msg)
    columns: dict[str, Array] = {name: numeric[:, i] for i, name in enumerate(signature.numeric_names)}
    columns |= {name: text[:, i] for i, name in enumerate(signature.text_names)}
    return columns


def label_text(value: object) -> str:
    """Return the text form in which a label is stored and compared.

    In plain words: makes ``1``, ``1.0`` and ``"1"`` the same label.

    Parameters
    ----------
    value : str, bool, int or float
        A label as a caller gave it; numpy scalars count as their Python kin.

    Returns
    -------
    str
        Text unchanged, ``true`` or ``false``, integral numbers without a point, other numbers in
        their shortest exact form.

    Raises
    ------
    SchemaMismatch
        If the value is missing, infinite or of another type.

    Notes
    -----
    Integral floats beyond 2**53 keep the float form, since they may not be what was meant.

    References
    ----------
    None; a convention.

    Examples
    --------
    >>> label_text(1.0), label_text("no"), label_text(True), label_text(0.25)
    ('1', 'no', 'true', '0.25')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if np.isfinite(number):
            is_integral = number.is_integer() and abs(number) <= _EXACT_INTEGERS
            return str(int(number)) if is_integral else repr(number)
    msg = f"a label is text, true or false, or a finite number, got {type(value).__name__}"
    raise SchemaMismatch(
        msg,
        hint="send the label as a JSON string, number or boolean",
    )


def label_indexes(signature: Signature, labels: Array) -> FloatArray:
    """Return class positions, or the numbers themselves for regression.

    In plain words: turns stored label texts into numbers that measures work with.

    Parameters
    ----------
    signature : Signature
        Task and classes.
    labels : object array of shape (n,), text or None; or float64
        Labels in any form that ``label_text`` takes; None and NaN mean no label.

    Returns
    -------
    float64 array of shape (n,)
        Position among ``signature.classes`` (or the value); NaN where there is no label or no such
        class.

    Raises
    ------
    SchemaMismatch
        If a label has a type that no label can have.

    Notes
    -----
    O(n); a label outside the classes is NaN here, and counted by its callers. ``true`` and
    ``false`` stand for the classes ``1`` and ``0`` where those are the classes, and the reverse.

    References
    ----------
    None; a convention.

    Examples
    --------
    >>> signature = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"))
    >>> label_indexes(signature, np.array(["yes", None, "no"], dtype=object))
    array([ 1., nan,  0.])
    """
    values = np.asarray(labels)
    if signature.task is Task.REGRESSION:
        return np.array([_number(value) for value in values.tolist()], dtype=np.float64)
    positions = {name: float(index) for index, name in enumerate(signature.classes)}
    if set(positions) == {"0", "1"}:
        positions |= {"false": positions["0"], "true": positions["1"]}
    elif set(positions) == {"false", "true"}:
        positions |= {"0": positions["false"], "1": positions["true"]}
    missing = float("nan")
    return np.array(
        [missing if _is_missing(value) else positions.get(label_text(value), missing) for value in values.tolist()],
        dtype=np.float64,
    )


def decided(signature: Signature, scores: Array, threshold: float | Array) -> FloatArray:
    """Return what was decided: class positions, or the predicted numbers.

    In plain words: turns chances into a yes or no.

    Parameters
    ----------
    signature : Signature
        Task and classes.
    scores : float64 array of shape (n, classes), or (n,) or (n, 1) for regression
        Calibrated probabilities, or predictions.
    threshold : float in [0, 1], or float64 array of shape (n,)
        A binary row is positive if its score is at least this; not used by other tasks.

    Returns
    -------
    float64 array of shape (n,)
        Position of the decided class, or the value.

    Raises
    ------
    IndexError
        If probabilities have fewer columns than the signature has classes.

    Notes
    -----
    O(n k). Ties between classes go to the first.

    References
    ----------
    None; a convention.

    Examples
    --------
    >>> signature = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
    >>> decided(signature, np.array([[0.6, 0.4], [0.2, 0.8]]), 0.5)
    array([0., 1.])
    """
    values = np.asarray(scores, dtype=np.float64)
    if signature.task is Task.REGRESSION:
        return values.reshape(-1)
    if signature.task is Task.BINARY:
        positive = signature.positive_index
        is_positive: NDArray[np.bool_] = values[:, positive] >= np.asarray(threshold)
        found: FloatArray = np.where(is_positive, float(positive), float(1 - positive))
        return found
    winners: NDArray[np.int64] = np.argmax(values, axis=1)
    return winners.astype(np.float64)


def _numbers(name: str, column: Array) -> FloatArray:
    """Narrow one column to float64."""
    values = np.asarray(column)
    if values.dtype.kind in "fiub":
        return values.astype(np.float64, copy=False)
    try:
        return np.array([_number(value) for value in values.tolist()], dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"column `{name}` holds text where the model expects numbers"
        raise SchemaMismatch(
            msg,
            hint=f"convert `{name}` to numbers, with missing cells left empty",
            details={"field": name},
        ) from error


def _texts(column: Array) -> TextArray:
    """Narrow one column to an object array of text or None."""
    values = np.asarray(column)
    if values.dtype.kind == "O" and all(value is None or isinstance(value, str) for value in values.tolist()):
        return values
    cells = [None if _is_missing(value) else label_text(value) for value in values.tolist()]
    texts = np.empty(len(cells), dtype=np.object_)
    texts[:] = cells
    return texts


def _number(value: object) -> float:
    """Read one cell as a number; missing is NaN."""
    if _is_missing(value):
        return float("nan")
    if isinstance(value, str):
        return {"true": 1.0, "false": 0.0}[value] if value in {"true", "false"} else float(value)
    if isinstance(value, (int, float)):
        return float(value)
    message = f"{type(value).__name__} is no number"
    raise TypeError(message)


def _is_missing(value: object) -> bool:
    """Say whether a cell holds nothing."""
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN differs from itself
