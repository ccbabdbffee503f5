"""``kilter feedback``: attach late labels to predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kilter.errors import InvalidRequest, SchemaMismatch
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.faces.cli.session import Session

__all__ = ["command"]

_CHUNK_ROWS = 1_000


@verb("feedback")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--model", help="Which model; default the only one.")
@click.option("--id-col", default="prediction_id", show_default=True, help="Column with the prediction's id.")
@click.option("--label-col", default="label", show_default=True, help="Column with the truth.")
@click.option("--entity-col", help="Column with the entity, where no prediction id is known.")
@click.option("--time-col", help="Column with the time at which the truth was observed.")
@click.option("--id", "one_id", help="One prediction's id, instead of a file.")
@click.option("--label", "one_label", help="Its label.")
def command(
    session: Session,
    *,
    file: str | None,
    model: str | None,
    id_col: str,
    label_col: str,
    entity_col: str | None,
    time_col: str | None,
    one_id: str | None,
    one_label: str | None,
) -> int:
    """Send the labels in FILE, or one label, to the running data plane."""
    name = session.deployment(model)
    if (one_id is None) != (one_label is None):
        msg = "`--id` and `--label` go together"
        raise InvalidRequest(msg, hint="use `--id ID --label LABEL`")
    if one_id is not None and one_label is not None:
        items: list[dict[str, object]] = [{"prediction_id": one_id, "label": one_label}]
    elif file is not None:
        key = ("entity_id", entity_col) if entity_col else ("prediction_id", id_col)
        items = _items(session, file, key, label_col, time_col)
    else:
        msg = "there are no labels to send"
        raise InvalidRequest(msg, hint="use `kilter feedback FILE`, or `--id ID --label LABEL`")
    _require_classes(session, name, items)
    accepted = 0
    for start in range(0, len(items), _CHUNK_ROWS):
        reply = session.app.dataplane.feedback(name, items[start : start + _CHUNK_ROWS])
        count = reply.get("accepted", 0)
        accepted += count if isinstance(count, int) else 0
        if len(items) > _CHUNK_ROWS:
            session.console.progress(min(1.0, (start + _CHUNK_ROWS) / len(items)), "sending labels")
    session.console.data(f"{accepted:,} label{'' if accepted == 1 else 's'} accepted for {name}")
    session.console.undo("none, corrected by sending a later label for the same prediction")
    session.console.finish({"model": name, "accepted": accepted})
    return 0


def _require_classes(session: Session, name: str, items: Sequence[Mapping[str, object]]) -> None:
    """Refuse labels that the live model does not know, before any is sent."""
    from kilter.measures.rows import label_text

    live = session.deployed(name)
    if live is None or live.champion is None:
        return
    known = session.app.registry.resolve(f"{name}@{live.champion}").manifest.signature.classes
    for place, item in enumerate(items, start=1):
        label = label_text(item["label"])
        if known and label not in known:
            msg = f"`{label[:40]}` (label {place}) is no class of `{name}`, nothing was sent"
            raise SchemaMismatch(msg, hint=f"its classes are {', '.join(known[:8])}; see `--label-col`")


def _items(
    session: Session, file: str, key: tuple[str, str], label_col: str, time_col: str | None
) -> list[dict[str, object]]:
    """Read labels from a table; rows without a label are left out."""
    from kilter.measures.rows import label_text

    table = session.app.tables.read(file)
    wanted = [key[1], label_col, *([time_col] if time_col else [])]
    missing = [name for name in wanted if name not in table.types]
    if missing:
        msg = f"the file has no column `{missing[0]}`"
        raise SchemaMismatch(
            msg,
            where=file,
            hint="name the columns with `--id-col`, `--label-col`, `--entity-col`, `--time-col`; the file has "
            + ", ".join(list(table.types)[:8]),
        )
    cells = {name: table.columns[name].tolist() for name in wanted}  # type: ignore[attr-defined] # numpy's
    found = []
    for row in range(table.rows):
        label, name = cells[label_col][row], cells[key[1]][row]
        if label is None or label != label:  # noqa: PLR0124 - NaN differs from itself
            continue
        if name is None or name != name:  # noqa: PLR0124 - as above
            msg = f"the label in row {row + 1} belongs to no prediction"
            raise SchemaMismatch(msg, where=file, hint=f"fill `{key[1]}` in, or take the row out")
        item: dict[str, object] = {key[0]: label_text(name), "label": label}
        if time_col:
            item["observed_at"] = cells[time_col][row]
        found.append(item)
    if not found:
        msg = f"no row of the file has a label in `{label_col}`"
        raise SchemaMismatch(msg, where=file, hint="name the column of the truth with `--label-col`")
    return found
