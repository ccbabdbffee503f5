"""What a command prints: data on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.errors import KilterError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Console"]

_PROGRESS_EVERY_S = 10.0
_COLOURS = {"Fine": "green", "pass": "green", "ok": "green", "Watch": "yellow", "warn": "yellow"}
_RED = {"Needs attention", "Stopped", "fail", "error"}


class Console:
    """Prints for one command; knows whether people or programs read it.

    Guarantees: with ``is_json`` standard output is one JSON object (progress lines before it), whatever
    happens; colour only on a terminal with ``NO_COLOR`` and ``CI`` unset.
    """

    def __init__(self, *, verb: str = "kilter", is_json: bool = False, is_quiet: bool = False) -> None:
        self.verb = verb
        self.is_json = is_json
        self.is_quiet = is_quiet
        is_plain = bool(os.environ.get("NO_COLOR") or os.environ.get("CI"))
        self.has_colour = sys.stdout.isatty() and not is_plain
        self._has_red = sys.stderr.isatty() and not is_plain
        self._has_bar = sys.stderr.isatty() and not is_plain
        self._is_in_bar = False
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
        """Tell how far long work is: one line that is drawn again on a terminal, one line in ten seconds elsewhere."""
        if self.is_json:
            click.echo(msgspec.json.encode({"schema": "kilter.progress/1", "share": round(share, 3), "doing": text}))
        elif self.is_quiet:
            return
        elif self._has_bar:
            self._is_in_bar = share < 1
            click.echo(f"\r\x1b[2K{share:4.0%} {text}" if share < 1 else "\r\x1b[2K", err=True, nl=False)
        elif time.monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            click.echo(f"{share:4.0%} {text}", err=True)

    def paint(self, word: str, text: str | None = None) -> str:
        """Colour a text by the state word that it stands for."""
        colour = "red" if word in _RED else _COLOURS.get(word)
        shown = word if text is None else text
        return click.style(shown, fg=colour) if colour and self.has_colour else shown

    def finish(self, data: object, *, ok: bool = True) -> None:
        """Print the object that programs read; nothing without ``--json``."""
        if self.is_json:
            self._object(ok=ok, data=data, error=None)

    def interrupted(self) -> None:
        """Say that a person stopped it."""
        if self.is_json:
            self._object(ok=False, data=None, error={"code": "interrupted", "message": "interrupted"})
        else:
            click.echo("interrupted", err=True)

    def fail(self, error: KilterError) -> None:
        """Print an error in at most four lines, or as the object that programs read."""
        why = error.why or _cause(error)
        if self.is_json:
            has_page = error.code != KilterError.code
            fields: Mapping[str, object] = {
                "code": error.code,
                "message": error.message,
                "where": error.where,
                "why": why,
                "hint": error.hint,
                "details": error.details,
                "docs": f"docs/errors/{error.code}.md" if has_page else None,
            }
            self._object(ok=False, data=None, error=fields)
            return
        start = "\n" if self._is_in_bar else ""
        click.echo(f"{start}{self._red('error:')} {error.message}", err=True)
        for name, value in (("where:", error.where), ("why:", why), ("fix:", error.hint)):
            if value:
                click.echo(f"{name:6} {value}", err=True)
        self._more_faults(error)

    def _more_faults(self, error: KilterError) -> None:
        """List the further faults of an error that holds several."""
        faults = error.details.get("errors")
        for fault in faults[1:] if isinstance(faults, list) else ():
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
        return click.style(text, fg="red", bold=True) if self._has_red else text


def _cause(error: KilterError) -> str | None:
    """Return the first line of what an error came from, unless the message says it already."""
    lines = str(error.__cause__ or "").strip().splitlines()
    return lines[0][:200] if lines and lines[0] not in error.message else None
