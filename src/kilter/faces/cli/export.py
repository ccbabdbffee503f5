"""``kilter export``: evidence and reference, for other programs and for auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.contracts.evidence import AuditRow
from kilter.errors import AuditBroken, InvalidRequest, NotFound, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_PAGE = 500
_FIRST = "0" * 64


@verb("export")
@click.argument("what", type=click.Choice(["audit", "schema"]), metavar="audit|schema")
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; default standard output.")
@click.option("--verify", is_flag=True, help="Check the chain of audit rows; exit 1 at the first bad one.")
def command(session: Session, *, what: str, file: str | None, out: str | None, verify: bool) -> int:
    """Write the audit log as JSON lines, or the JSON Schema of kilter.toml.

    `kilter export audit FILE --verify` checks a file written before, with no project and no server.
    """
    if file is not None and not (what == "audit" and verify):
        msg = f"`{file}` can only be verified"
        raise InvalidRequest(msg, hint="use `kilter export audit FILE --verify`, or `--out FILE` to write one")
    if what == "schema":
        from kilter.settings import schema

        text = msgspec.json.format(msgspec.json.encode(schema()), indent=2)
        _write(session, text, out)
        session.console.finish(schema())
        return 0
    rows = _rows(session) if file is None else _read(file)
    if verify:
        _verify(rows, file)
        session.console.note(f"{len(rows)} audit rows verified")
    if file is None and (out is not None or not verify):
        _write(session, b"\n".join(msgspec.json.encode(row) for row in rows), out)
    elif verify:
        session.console.data(f"verified: {len(rows)} rows, last digest {rows[-1].digest if rows else _FIRST}")
    found = None if out is not None or verify else rows
    session.console.finish({"rows": len(rows), "verified": verify, "out": out, "items": found})
    return 0


def _rows(session: Session) -> list[AuditRow]:
    """Read the whole log of the project."""
    rows: list[AuditRow] = []
    while page := session.app.governance.rows(after=rows[-1].id if rows else None, limit=_PAGE):
        rows.extend(page)
    return rows


def _read(file: str) -> list[AuditRow]:
    """Read a log that was exported before."""
    try:
        lines = Path(file).read_bytes().splitlines()
    except OSError as error:
        msg = f"`{file}` cannot be read: {error.strerror}"
        raise NotFound(msg, hint="make one with `kilter export audit --out FILE`") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(msgspec.json.decode(line, type=AuditRow))
        except msgspec.MsgspecError as error:
            msg = f"line {number} is no audit row"
            raise AuditBroken(msg, where=f"{file}:{number}", hint="compare it with the project's own log") from error
    return rows


def _verify(rows: list[AuditRow], file: str | None) -> None:
    """Walk the chain from its first row."""
    from kilter.services.governance import digest_of

    previous = _FIRST
    for number, row in enumerate(rows, start=1):
        if (row.id, row.previous, row.digest) != (f"{number:012d}", previous, digest_of(row)):
            msg = f"audit row {row.id} does not fit the chain"
            where = f"{file}:{number}" if file is not None else f"row {row.id}"
            hint = "keep the file as it is, and compare it with a backup"
            raise AuditBroken(msg, where=where, hint=hint)
        previous = row.digest


def _write(session: Session, content: bytes, out: str | None) -> None:
    """Write to the file or to standard output."""
    if out is None:
        session.console.data(content.decode())
        return
    try:
        Path(out).write_bytes(content + b"\n")
    except OSError as error:
        msg = f"`{out}` cannot be written: {error.strerror}"
        raise StoreError(msg, where=out, hint="choose another file with `--out`") from error
    session.console.note(f"wrote {out}")
