"""What a command prints: data on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.errors import KilterError

__all__ = ["Console"]

_PROGRESS_EVERY_S = 10.0
_COLOURS = {"Fine": "green", "pass": "green", "ok": "green", "Watch": "yellow", "warn": "yellow"}
_RED = {"Needs attention", "Stopped", "fail", "error"}


class Console:
    """Prints for one command; knows whether people or programs read it.

    Guarantees: with ``is_json`` standard output is one JSON object (progress lines before it), whatever
    happens; colour only on a terminal with ``NO_COLOR`` and ``CI`` unset.
    """

    def __init__(self, *, verb: str, is_json: bool = False, is_quiet: bool = False, is_verbose: bool = False) -> None:
        self.verb = verb
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.is_verbose = is_verbose
        self.has_colour = sys.stdout.isatty() and not {"NO_COLOR", "CI"} & set(os.environ)
        self._warnings: list[str] = []
        self._told_at = time.monotonic()

    def data(self, text: str) -> None:
        """Print an answer for people; nothing under ``--json``."""
        if not self.is_json:
            click.echo(text, color=self.has_colour)

    def note(self, text: str) -> None:
        """Print something beside the answer."""
        if not self.is_quiet and not self.is_json:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Print a warning; it is part of the object under ``--json``."""
        self._warnings.append(text)
        if not self.is_json:
            click.echo(f"warning: {text}", err=True)

    def undo(self, command: str) -> None:
        """Print how to take the last change back, as the last line."""
        self.note(f"undo: {command}")

    def progress(self, share: float, text: str) -> None:
        """Tell how far long work is: a line on a terminal, one line in ten seconds elsewhere."""
        if self.is_json:
            click.echo(msgspec.json.encode({"schema": "kilter.progress/1", "share": round(share, 3), "doing": text}))
        elif self.is_quiet:
            return
        elif sys.stderr.isatty():
            end = "\n" if share >= 1 else ""
            click.echo(f"\r\x1b[2K{share:4.0%} {text}{end}", err=True, nl=False)
        elif time.monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            click.echo(f"{share:4.0%} {text}", err=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns; a cell that is a state word gets its colour."""
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        self.data("  ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip())
        for row in rows:
            cells = (self.paint(cell, cell.ljust(width)) for cell, width in zip(row, widths, strict=True))
            self.data("  ".join(cells).rstrip())

    def paint(self, word: str, text: str | None = None) -> str:
        """Colour a text by the state word that it stands for."""
        colour = "red" if word in _RED else _COLOURS.get(word)
        shown = word if text is None else text
        return click.style(shown, fg=colour) if colour and self.has_colour else shown

    def finish(self, data: object, *, ok: bool = True) -> None:
        """Print the object that programs read; nothing without ``--json``."""
        if self.is_json:
            self._object(ok=ok, data=data, error=None)

    def fail(self, error: KilterError) -> None:
        """Print an error in at most four lines, or as the object that programs read."""
        if self.is_json:
            fields: Mapping[str, object] = {
                "code": error.code,
                "message": error.message,
                "where": error.where,
                "why": error.why or (str(error.__cause__) if error.__cause__ else None),
                "hint": error.hint,
                "details": error.details,
                "docs": f"docs/errors/{error.code}.md",
            }
            self._object(ok=False, data=None, error=fields)
            return
        click.echo(f"{self._red('error:')} {error.message}", err=True)
        for name, value in (("where:", error.where), ("why:", error.why), ("fix:", error.hint)):
            if value:
                click.echo(f"{name:6} {value}", err=True)
        self._more_faults(error)

    def _more_faults(self, error: KilterError) -> None:
        """List the further faults of an error that holds several."""
        faults = error.details.get("errors")
        if isinstance(faults, list):
            for fault in faults[1:]:
                if isinstance(fault, dict):
                    click.echo(f"also:  {fault.get('where')}: {fault.get('message')}; {fault.get('hint')}", err=True)

    def _object(self, *, ok: bool, data: object, error: object) -> None:
        """Print one line of JSON."""
        whole = {
            "schema": f"kilter.{self.verb}/1",
            "ok": ok,
            "data": data,
            "warnings": self._warnings,
            "error": error,
        }
        click.echo(msgspec.json.encode(whole))

    def _red(self, text: str) -> str:
        """Colour a word of alarm."""
        is_terminal = sys.stderr.isatty() and not {"NO_COLOR", "CI"} & set(os.environ)
        return click.style(text, fg="red", bold=True) if is_terminal else text
