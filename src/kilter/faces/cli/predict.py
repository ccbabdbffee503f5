"""``kilter predict``: send rows through the deployed model."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kilter.errors import InvalidRequest, SchemaMismatch, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from kilter.contracts.signature import Column
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_CHUNK_ROWS = 512
_FEW = 8
_COLUMN = {"label": "predicted"}
"""A decision is no truth: `kilter feedback` takes a column `label`, and must not find one in answers."""


@verb("predict")
@click.argument("model", required=False)
@click.option(
    "--in", "source", metavar="FILE", help="CSV, Parquet, XLSX or JSON lines; `-` reads JSON lines from standard input."
)
@click.option("--row", metavar="JSON", help="One row as JSON, such as '{\"age\": 31}'.")
@click.option("--out", metavar="FILE", help="Write CSV here instead of to standard output.")
def command(session: Session, *, model: str | None, source: str | None, row: str | None, out: str | None) -> int:
    """Predict rows through the running data plane; every prediction is logged and has an id."""
    if (source is None) == (row is None):
        msg = "there are no rows to predict" if row is None else "rows come from `--in` or `--row`, not both"
        raise InvalidRequest(msg, hint="use `--in FILE`, `--in -` or `--row JSON`")
    name = session.deployment(model)
    rows = _one(row) if row is not None else _rows(session, name, str(source))
    spec = session.settings.deployment(name)
    chunk = min(_CHUNK_ROWS, spec.deployment.max_batch_rows) if spec is not None else _CHUNK_ROWS
    answers: list[Mapping[str, object]] = []
    for start in range(0, len(rows), chunk):
        reply = session.app.dataplane.predict(name, rows[start : start + chunk])
        answers.extend(_flat(reply))
        if len(rows) > chunk:
            session.console.progress(min(1.0, (start + chunk) / len(rows)), "predicting")
    _write(session, answers, out)
    session.console.finish({"model": name, "predictions": answers})
    return 0


def _one(text: str) -> list[dict[str, object]]:
    """Read the row that was given on the command line."""
    try:
        value = json.loads(text)
    except ValueError as error:
        msg = "the row is no JSON"
        raise InvalidRequest(msg, why=str(error), hint="quote it: `--row '{\"age\": 31}'`") from error
    rows = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(one, dict) for one in rows):
        msg = "a row is a JSON object of column and value"
        raise InvalidRequest(msg, hint="write `--row '{\"age\": 31}'`")
    return rows


def _rows(session: Session, name: str, source: str) -> list[dict[str, object]]:
    """Read rows from a file or standard input, cut to the columns that the model takes."""
    if source == "-":
        lines = [line for line in sys.stdin if line.strip()]
        return [row for line in lines for row in _one(line)]
    from kilter.contracts.signature import ColumnType

    table = session.app.tables.read(source)
    version = session.app.registry.resolve(f"{name}@live")
    _tell_missing(session, source, version.manifest.signature.columns, table.types)
    wanted = [column for column in version.manifest.signature.columns if column.name in table.types]
    whole = {ColumnType.INTEGER, ColumnType.BOOLEAN}
    columns = {
        column.name: [
            _cell(value, is_whole=column.type in whole, kind=column.type)
            for value in _values(table.columns[column.name])
        ]
        for column in wanted
    }
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _tell_missing(session: Session, source: str, columns: Sequence[Column], found: Collection[str]) -> None:
    """Refuse a file without a column that never was missing; warn of one that may be."""
    missing = [column for column in columns if column.name not in found]
    needed = [column.name for column in missing if not column.nullable]
    if needed:
        msg = f"the file has no column `{needed[0]}`" + (f", nor {len(needed) - 1} others" if needed[1:] else "")
        raise SchemaMismatch(
            msg, where=source, hint="add it under this name; the file has " + ", ".join(list(found)[:_FEW])
        )
    if missing:
        names = ", ".join(f"`{column.name}`" for column in missing[:_FEW])
        session.console.warn(f"the file has no column {names}: taken as missing in every row")


def _values(column: object) -> Iterator[object]:
    """Yield the cells of a column as plain Python values."""
    return iter(column.tolist())  # type: ignore[attr-defined] # an Array of this room is numpy's


def _cell(value: object, *, is_whole: bool, kind: str) -> object:
    """Return a cell as JSON holds it: missing is null, whole numbers have no point."""
    if value is None or value != value:  # noqa: PLR0124 - NaN differs from itself
        return None
    if kind == "boolean" and isinstance(value, float):
        return bool(value)
    if is_whole and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "text" and not isinstance(value, str):
        from kilter.measures.rows import label_text

        return label_text(value)
    return value


def _flat(reply: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return one flat record per row."""
    found: list[Mapping[str, object]] = []
    predictions = reply.get("predictions")
    for one in predictions if isinstance(predictions, list) else []:
        flat = {"prediction_id": one["id"], "version": reply.get("version")}
        flat |= {key: value for key, value in one.items() if key not in {"id", "probabilities"}}
        found.append(flat)
    return found


def _write(session: Session, answers: Sequence[Mapping[str, object]], out: str | None) -> None:
    """Write the answers as CSV, or as JSON lines on standard output for a single row."""
    if out is None and len(answers) == 1:
        session.console.data(json.dumps(answers[0]))
        return
    text = io.StringIO()
    shown = [{_COLUMN.get(key, key): value for key, value in one.items()} for one in answers]
    names = list(shown[0]) if shown else ["prediction_id"]
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(shown)
    if out is None:
        session.console.data(text.getvalue().rstrip("\n"))
        return
    try:
        Path(out).write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        msg = f"`{out}` cannot be written: {error.strerror}"
        raise StoreError(msg, where=out, hint="choose another file with `--out`") from error
    session.console.note(f"wrote {len(answers)} predictions to {out}")
