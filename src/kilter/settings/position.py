"""Where each key of a TOML text stands, which ``tomllib`` does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Position", "positions"]

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""

_HEADER = re.compile(r"^(\s*)(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"^(\s*)([A-Za-z0-9_\-.]+|\"[^\"]*\"|'[^']*')\s*=")
_STRING = re.compile(r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")


def positions(source: str) -> Mapping[str, Position]:
    """Map dotted paths to positions; the second table of an array ``gates`` is ``gates.1``.

    Keys inside inline tables are not listed: they are reported at the line of their table.
    """
    found: dict[str, Position] = {}
    counts: dict[str, int] = {}
    table, depth = "", 0
    for line_number, line in enumerate(_without_strings(source).split("\n"), start=1):
        header = _HEADER.match(line) if depth == 0 else None
        if header is not None:
            table = _plain(header[3])
            if header[2] == "[[":
                index = counts.get(table, 0)
                counts[table] = index + 1
                table = f"{table}.{index}"
            found.setdefault(table, (line_number, len(header[1]) + 1))
            continue
        key = _KEY.match(line) if depth == 0 else None
        if key is not None:
            path = f"{table}.{_plain(key[2])}".lstrip(".")
            found.setdefault(path, (line_number, len(key[1]) + 1))
        depth += line.count("[") + line.count("{") - line.count("]") - line.count("}")
    return found


def _without_strings(source: str) -> str:
    """Blank out the inside of values that are strings, and comments, keeping every line where it is."""

    def blank(match: re.Match[str]) -> str:
        return "".join("\n" if letter == "\n" else "_" for letter in match[0])

    kept = []
    for line_or_string in re.split(r"(?m)^(?=\s*(?:\"[^\"\n]*\"|'[^'\n]*')\s*=)", source):
        # a quoted key at the start of a line is kept as it is; everything else may lose its strings
        quoted_key = re.match(r"\s*(?:\"[^\"\n]*\"|'[^'\n]*')\s*=", line_or_string)
        head = quoted_key[0] if quoted_key else ""
        rest = _STRING.sub(blank, line_or_string[len(head) :])
        kept.append(head + _COMMENT.sub("", rest))
    return "".join(kept)


def _plain(name: str) -> str:
    """Take quotes off a key."""
    return name.strip().strip("\"'").replace(" ", "")
