"""``kilter export``: evidence and reference, for other programs and for auditors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.errors import AuditBroken, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_PAGE = 500


@verb("export")
@click.argument("what", type=click.Choice(["audit", "schema"]))
@click.option("--out", type=click.Path(dir_okay=False), help="File to write; default standard output.")
@click.option("--verify", is_flag=True, help="Check the chain of audit rows; exit 1 at the first bad one.")
def command(session: Session, *, what: str, out: str | None, verify: bool) -> int:
    """Write the audit log as JSON lines, or the JSON Schema of the settings."""
    if what == "schema":
        from kilter.settings import Settings

        _write(session, msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Settings)), indent=2), out)
        return 0
    governance = session.app.governance
    if verify:
        state = governance.verify()
        if not state.is_verified:
            msg = f"audit row {state.first_bad} does not fit the chain"
            raise AuditBroken(msg, hint="keep the file; see docs/errors")
        session.console.note(f"{state.rows} audit rows verified")
    lines, after = [], None
    while page := governance.rows(after=after, limit=_PAGE):
        lines += [msgspec.json.encode(row) for row in page]
        after = page[-1].id
    _write(session, b"\n".join(lines), out)
    session.console.finish({"rows": len(lines), "out": out})
    return 0


def _write(session: Session, content: bytes, out: str | None) -> None:
    """Write to the file or to standard output."""
    if out is None:
        session.console.data(content.decode())
        return
    try:
        Path(out).write_bytes(content + b"\n")
    except OSError as error:
        msg = f"{out} cannot be written: {error.strerror}"
        raise StoreError(msg, where=out) from error
    session.console.note(f"wrote {out}")
